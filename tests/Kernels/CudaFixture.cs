using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Tests that use the CUDA device run one after another: a stand-in driver is one for the whole process.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class CudaCollection : ICollectionFixture<CudaFixture>
{
    public const string Name = "cuda";
}

/// <summary>The CUDA device of the tests: the stand-in, with all kernels compiled ahead in parallel.</summary>
public sealed class CudaFixture
{
    private static readonly string? Missing = Prepare();

    /// <summary>Opens the device; the caller disposes of it.</summary>
    /// <param name="isChecked">Whether every access of the kernels is checked.</param>
    /// <param name="seed">The order of threads: 0 is theirs.</param>
    public CudaDevice Open(bool isChecked = false, uint seed = 0)
    {
        if (Missing is not null)
        {
            Assert.False(Environment.GetEnvironmentVariable("CI") is not null, $"In CI nothing of CUDA may be skipped: {Missing}");
            Assert.Skip(Missing);
        }
        StandIn.IsChecked = isChecked;
        StandIn.Schedule(seed);
        return CudaDevice.Open(0);
    }

    private static string? Prepare()
    {
        try
        {
            KernelFolder folder = KernelFolder.Find(Path.Combine(Repository.Root, "kernels-cu"));
            if (Environment.GetEnvironmentVariable("QSHARP_TEST_OP") is null)
            {
                StandIn.BuildAll(folder, isChecked: false);
                StandIn.BuildAll(folder, isChecked: true);
            }
            StandIn.Load(folder);
            Environment.SetEnvironmentVariable("QSHARP_KERNELS", folder.Path);
            CudaDevice.Open(0).Dispose();
            return null;
        }
        catch (UserException missing)
        {
            return missing.Message;
        }
    }
}
