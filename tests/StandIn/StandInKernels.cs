using QSharp.Engine;
using QSharp.Tests.Kernels;

namespace QSharp.Tests.StandIns;

/// <summary>A folder with the kernels of these tests beside the common header and the stand-in's sources.</summary>
internal static class StandInKernels
{
    public static string Folder { get; } = Prepare();

    /// <summary>The device with these kernels.</summary>
    public static CudaDevice Open(CudaFixture cuda, bool isChecked = false, uint seed = 0)
    {
        cuda.Open(isChecked, seed).Dispose();   // skips where there is no stand-in
        return CudaDevice.Open(0, Folder);
    }

    private static string Prepare()
    {
        // A place that stays: the stand-in's cache tells builds apart by path.
        string folder = Path.Combine(AppContext.BaseDirectory, "stand-in-kernels"), kernels = Path.Combine(Repository.Root, "kernels-cu");
        Copy(Path.Combine(kernels, "stand-in"), "*", Path.Combine(folder, "stand-in"));
        Copy(kernels, "*.cuh", folder);
        Copy(Path.Combine(kernels, "checks"), "*.cu", folder);
        Copy(Path.Combine(Repository.Root, "tests", "StandIn", "kernels"), "*.cu", folder);
        return folder;
    }

    private static void Copy(string from, string pattern, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from, pattern))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)), overwrite: true);
    }
}
