using QSharp.Engine;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>Compiled kernels are found again by what they are, not by where their sources lie.</summary>
[Collection(CudaCollection.Name)]
public sealed class KernelKeyTests(CudaFixture cuda)
{
    [Fact]
    public void The_same_sources_in_another_folder_are_not_compiled_again_but_changed_ones_are()
    {
        cuda.Open().Dispose();
        string name = $"key_{Guid.NewGuid():N}";
        using TemporaryFolder first = new(), second = new();
        foreach (TemporaryFolder folder in (TemporaryFolder[])[first, second]) Fill(folder, name);
        Assert.Equal(1, Compiled(first.Path, name));
        Assert.Equal(1, Compiled(second.Path, name));
        File.AppendAllText(second[name + ".cu"], "// changed\n");
        Assert.Equal(2, Compiled(second.Path, name));
        foreach (string left in Left(name)) File.Delete(left);
    }

    /// <summary>A folder with one kernel, small enough to be compiled in no time.</summary>
    private static void Fill(TemporaryFolder folder, string name)
    {
        string from = Path.Combine(Repository.Root, "kernels-cu");
        Directory.CreateDirectory(folder["stand-in"]);
        foreach (string file in Directory.EnumerateFiles(Path.Combine(from, "stand-in"))) File.Copy(file, folder["stand-in", Path.GetFileName(file)]);
        File.Copy(Path.Combine(from, "qs.cuh"), folder["qs.cuh"]);
        File.WriteAllText(folder[name + ".cu"],
            $$"""
            // variants: none
            #include "qs.cuh"
            extern "C" __global__ void QS_NAME({{name}})(float* x) { x[threadIdx.x] = 1; }
            QS_KERNEL({{name}})

            """);
    }

    /// <summary>Compiles the folder's kernel for a card and for the stand-in.</summary>
    /// <returns>How many results of either kind the cache then holds.</returns>
    private static int Compiled(string path, string name)
    {
        KernelFolder folder = KernelFolder.Find(path);
        new KernelCompiler(folder, 80).Compile(folder.Read(name), "");
        StandIn.BuildAll(folder, isChecked: false);
        string[] files = [.. Left(name)];
        int images = files.Count(file => file.EndsWith(".bin", StringComparison.Ordinal)), libraries = files.Count(file => file.EndsWith(".so", StringComparison.Ordinal));
        Assert.Equal(images, libraries);
        return images;
    }

    private static IEnumerable<string> Left(string name) =>
        Directory.EnumerateFiles(KernelCompiler.CacheFolder, $"{name}*", SearchOption.AllDirectories);
}
