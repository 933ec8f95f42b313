using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>Where one native library was found, or all that was tried.</summary>
/// <param name="Name">What the engine calls it: cuda, nvrtc or cublas.</param>
/// <param name="Found">The name or path that loaded; null if none did.</param>
/// <param name="Tried">Every name and path, in order.</param>
/// <param name="Advice">How to get it.</param>
public sealed record LibraryReport(string Name, string? Found, IReadOnlyList<string> Tried, string Advice);

/// <summary>
/// Finds the driver, NVRTC and cuBLAS on the machine at first use: by their plain names, then in the folders of the CUDA
/// toolkit, of WSL and of pip's wheels; newer versions first, but those that are newer than the driver last. The environment variables
/// QSHARP_CUDA_LIBRARY, QSHARP_NVRTC_LIBRARY and QSHARP_CUBLAS_LIBRARY name a file to load instead.
/// </summary>
public static unsafe class Libraries
{
    internal const string Cuda = "cuda", Nvrtc = "nvrtc", CuBlas = "cublas";

    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, (nint Handle, string? Found, List<string> Tried)> Loaded = [];
    private static readonly Dictionary<string, string> Overrides = [];
    private static readonly HashSet<string> Bound = [];   // functions of it have been called, so it cannot become another

    /// <param name="Major">Of its version; 0 where the name does not say.</param>
    private readonly record struct LibraryName(int Major, string Linux, string? Windows)
    {
        public string? Here => OperatingSystem.IsWindows() ? Windows : Linux;
    }

    private static readonly Dictionary<string, (LibraryName[] Files, string Advice)> Names = new()
    {
        [Cuda] = ([new(0, "libcuda.so.1", "nvcuda.dll"), new(0, "libcuda.so", null)], "it comes with NVIDIA's display driver"),
        [Nvrtc] = (
            [new(13, "libnvrtc.so.13", "nvrtc64_130_0.dll"), new(12, "libnvrtc.so.12", "nvrtc64_120_0.dll"), new(11, "libnvrtc.so.11.2", "nvrtc64_112_0.dll"), new(0, "libnvrtc.so", null)],
            "it is part of the CUDA toolkit, of the pip package nvidia-cuda-nvrtc and of Debian's package libnvrtc11.2 (non-free)"),
        [CuBlas] = (
            [new(13, "libcublas.so.13", "cublas64_13.dll"), new(12, "libcublas.so.12", "cublas64_12.dll"), new(11, "libcublas.so.11", "cublas64_11.dll"), new(0, "libcublas.so", null)],
            "it is part of the CUDA toolkit and of the pip package nvidia-cublas"),
    };

    static Libraries() => NativeLibrary.SetDllImportResolver(typeof(Libraries).Assembly, (name, _, _) => Names.ContainsKey(name) ? Bind(name) : 0);

    /// <summary>The environment variable that names the file to load for a library.</summary>
    public static string Variable(string name) => $"QSHARP_{name.ToUpperInvariant()}_LIBRARY";

    /// <summary>What was found of each library, and where.</summary>
    public static IReadOnlyList<LibraryReport> Report() =>
        [.. Names.Keys.Select(name =>
        {
            (_, string? found, List<string> tried) = Load(name);
            return new LibraryReport(name, found, tried, Names[name].Advice);
        })];

    /// <summary>Takes a file in place of a library; before its first use.</summary>
    internal static void Use(string name, string path)
    {
        lock (Gate)
        {
            if (Loaded.TryGetValue(name, out (nint, string? Found, List<string>) now) && now.Found != path && Bound.Contains(name))
                throw new InvalidOperationException($"The library {name} is loaded from {now.Found} and cannot become {path}.");
            if (now.Found != path) Loaded.Remove(name);
            Overrides[name] = path;
        }
    }

    /// <summary>Checks that a library can be loaded.</summary>
    /// <exception cref="UserException">It cannot; the sentence says what was tried and how to get it.</exception>
    internal static void Require(string name)
    {
        (nint handle, _, List<string> tried) = Load(name);
        if (handle == 0)
            throw new UserException(
                $"The library {name} was not found (tried {string.Join(", ", tried.Take(4))}{(tried.Count > 4 ? $" and {tried.Count - 4} more places" : "")}); "
                + $"{Names[name].Advice}; {Variable(name)} can name the file, and --device cpu needs none.");
    }

    /// <summary>A function of a library by its address; 0 where there is none.</summary>
    internal static nint Export(string name, string function) =>
        Load(name).Handle is var handle && handle != 0 && NativeLibrary.TryGetExport(handle, function, out nint address) ? address : 0;

    private static nint Bind(string name)
    {
        lock (Gate)
        {
            nint handle = Load(name).Handle;
            if (handle != 0) Bound.Add(name);
            return handle;
        }
    }

    private static (nint Handle, string? Found, List<string> Tried) Load(string name)
    {
        lock (Gate)
        {
            if (Loaded.TryGetValue(name, out (nint Handle, string? Found, List<string> Tried) known)) return known;
            List<string> tried = [];
            nint handle = 0;
            string? found = null;
            foreach (string candidate in Candidates(name))
            {
                tried.Add(candidate);
                if (!NativeLibrary.TryLoad(candidate, out handle)) continue;
                found = candidate;
                break;
            }
            return Loaded[name] = (handle, found, tried);
        }
    }

    private static IEnumerable<string> Candidates(string name)
    {
        if (Overrides.TryGetValue(name, out string? path)) return [path];
        if (Environment.GetEnvironmentVariable(Variable(name)) is { Length: > 0 } chosen) return [chosen];
        return Candidates(name, name == Cuda ? 0 : DriverMajor(), [.. Folders(name).Where(Directory.Exists)]);
    }

    /// <summary>Names and paths of a library in the order in which they are tried.</summary>
    /// <param name="driver">The newest version that the driver knows; 0 where that is not known. What a newer NVRTC compiles may not load.</param>
    /// <param name="folders">Beside those of the system's own search.</param>
    internal static IEnumerable<string> Candidates(string name, int driver, IReadOnlyList<string> folders)
    {
        foreach (IEnumerable<LibraryName> files in Names[name].Files.GroupBy(file => driver > 0 && file.Major > driver).OrderBy(group => group.Key))
        {
            string[] here = [.. files.Select(file => file.Here).OfType<string>()];
            foreach (string file in here) yield return file;
            foreach (string file in here)
                foreach (string path in folders.Select(folder => Path.Combine(folder, file)).Where(File.Exists)) yield return path;
        }
    }

    private static int DriverMajor()
    {
        nint function = Export(Cuda, nameof(CuDriver.cuDriverGetVersion));
        int version = 0;
        return function != 0 && ((delegate* unmanaged<int*, int>)function)(&version) == 0 ? version / 1000 : 0;
    }

    /// <summary>Folders that the system's own search does not know.</summary>
    private static IEnumerable<string> Folders(string name)
    {
        foreach (string variable in new[] { "CUDA_PATH", "CUDA_HOME" })
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } root)
                foreach (string inner in new[] { "lib64", "bin", Path.Combine("bin", "x64") }) yield return Path.Combine(root, inner);
        if (OperatingSystem.IsWindows()) yield break;
        yield return "/usr/local/cuda/lib64";
        yield return "/usr/lib/wsl/lib";
        string wheel = name == Nvrtc ? "cuda_nvrtc" : "cublas";
        string[] roots = [.. new[] { Environment.GetEnvironmentVariable("VIRTUAL_ENV"), "/usr/local", "/usr", "/opt/conda",
            Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local") }.OfType<string>().Where(root => root.Length > 0)];
        foreach (string root in roots)
        {
            string lib = Path.Combine(root, "lib");
            if (!Directory.Exists(lib)) continue;
            foreach (string python in Directory.EnumerateDirectories(lib, "python3*"))
                foreach (string packages in new[] { "site-packages", "dist-packages" })
                    foreach (string package in new[] { wheel, "cu13", "cu12" })
                        yield return Path.Combine(python, packages, "nvidia", package, "lib");
        }
    }
}
