using System.Diagnostics;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>
/// A stand-in for a card, for machines without one: a driver and a cuBLAS written in C++ (kernels-cu/stand-in) that run the
/// same .cu files as C++, one fiber a CUDA thread. It proves host code, kernels and their arguments, and in its checked mode
/// finds races, bad accesses and missing waits; it says nothing about speed. Built by g++ at first use, kept in the cache.
/// </summary>
public static partial class StandIn
{
    private const string DriverFile = "libqsstandin.so";
    private static readonly string[] Common = ["-std=c++20", "-fPIC", "-fno-strict-aliasing", "-march=native", "-shared", "-Wl,-Bsymbolic"];
    private static readonly Dictionary<(string Kernels, bool IsChecked), string> Provided = [];   // the library that a file's kernels come from

    private static string? _driver;
    private static bool _isChecked;

    /// <summary>Whether this process runs on the stand-in.</summary>
    public static bool IsLoaded => _driver is not null;

    /// <summary>Whether every access of a kernel is checked; a kernel that is at fault fails its launch with a report.</summary>
    public static bool IsChecked
    {
        get => _isChecked;
        set
        {
            _isChecked = value;
            qsstandin_mode(value ? 1 : 0);
        }
    }

    /// <summary>The order in which threads run: 0 is theirs, any other number an order of its own.</summary>
    public static void Schedule(uint seed) => qsstandin_schedule(seed);

    /// <summary>How often an entry point has been called.</summary>
    internal static long Calls(string function) => qsstandin_calls(function);

    /// <summary>Makes "cuda" the stand-in for this process; before anything else of CUDA is used.</summary>
    /// <exception cref="UserException">There is no C++ compiler, or the stand-in does not compile.</exception>
    public static void Load(KernelFolder folder)
    {
        if (IsLoaded) return;
        string driver = BuildDriver(folder);
        Libraries.Use(Libraries.Cuda, driver);
        Libraries.Use(Libraries.CuBlas, driver);
        _driver = driver;
    }

    /// <summary>
    /// Loads the stand-in where QSHARP_STANDIN=1 asks for it: for tests of whole programs, and to try them on a machine without a
    /// card. QSHARP_STANDIN_FAIL plants failures, as "cuMemAlloc_v2:3:2" (the third call returns 2), several with commas.
    /// </summary>
    /// <exception cref="UserException">As <see cref="Load"/>, or a planted failure is not of that form.</exception>
    internal static void LoadIfAsked(KernelFolder folder)
    {
        if (IsLoaded || Environment.GetEnvironmentVariable("QSHARP_STANDIN") != "1") return;
        Load(folder);
        foreach (string planted in (Environment.GetEnvironmentVariable("QSHARP_STANDIN_FAIL") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            if (planted.Split(':') is not [string function, string nth, string code] || !int.TryParse(nth, out int n) || !int.TryParse(code, out int result))
                throw new UserException($"QSHARP_STANDIN_FAIL holds {planted}, but a planted failure is written FUNCTION:NTH:CODE, as cuMemAlloc_v2:3:2.");
            qsstandin_fail(function, n, result);
        }
    }

    /// <summary>Compiles the kernels of a folder in parallel, so that none is waited for later.</summary>
    public static void BuildAll(KernelFolder folder, bool isChecked)
    {
        string driver = BuildDriver(folder);
        (KernelSource Source, string Variant)[] all = [.. folder.Names.Select(folder.Read).SelectMany(source => source.Variants.Select(variant => (source, variant)))];
        Parallel.ForEach(all, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, kernel => BuildKernel(folder, driver, kernel.Source, kernel.Variant, isChecked));
    }

    /// <summary>Makes a kernel file known to the stand-in's driver, when that is what runs.</summary>
    internal static void Provide(KernelFolder folder, KernelSource source, string variant)
    {
        if (_driver is null) return;
        foreach (bool isChecked in (bool[])[false, true])
        {
            if (isChecked && !_isChecked) continue;
            string library = BuildKernel(folder, _driver, source, variant, isChecked);
            lock (Provided)
            {
                (string, bool) key = (source.Name + KernelSource.Suffix(variant), isChecked);
                if (Provided.GetValueOrDefault(key) == library) continue;
                if (qsstandin_load(library, isChecked ? 1 : 0) != 0) throw new InvalidOperationException($"The stand-in could not load {library}: {Report()}");
                Provided[key] = library;   // an edited file takes the place of the one before
            }
        }
    }

    /// <summary>"; " and what the stand-in says about the last fault; empty on a real card.</summary>
    internal static string LastReport() => _driver is not null && Report() is { Length: > 0 } report ? $"; {report}" : "";

    [LibraryImport(Libraries.Cuda)] internal static partial void qsstandin_mode(int isChecked);
    [LibraryImport(Libraries.Cuda, StringMarshalling = StringMarshalling.Utf8)] internal static partial int qsstandin_load(string path, int isChecked);
    [LibraryImport(Libraries.Cuda)] internal static partial nint qsstandin_report();
    [LibraryImport(Libraries.Cuda, StringMarshalling = StringMarshalling.Utf8)] internal static partial void qsstandin_fail(string function, int nth, int code);
    [LibraryImport(Libraries.Cuda, StringMarshalling = StringMarshalling.Utf8)] internal static partial long qsstandin_calls(string function);
    [LibraryImport(Libraries.Cuda)] internal static partial void qsstandin_schedule(uint seed);
    [LibraryImport(Libraries.Cuda)] internal static partial void qsstandin_memory(nuint bytes);
    [LibraryImport(Libraries.Cuda)] internal static partial void qsstandin_reset();

    private static string Report() => Marshal.PtrToStringUTF8(qsstandin_report()) ?? "";

    private static string BuildDriver(KernelFolder folder)
    {
        string sources = Path.Combine(folder.Path, "stand-in");
        if (!Directory.Exists(sources)) throw new UserException($"{sources} is missing, so there is no stand-in for a CUDA card.");
        string[] options = [.. Common, "-O2", $"-I{sources}", .. Directory.EnumerateFiles(sources, "*.cpp").Order(StringComparer.Ordinal), "-ldl", "-lpthread"];
        return Build(DriverFile, options, Directory.EnumerateFiles(sources).Order(StringComparer.Ordinal).Select(File.ReadAllText), [folder.Path], $"-Wl,-soname,{DriverFile}");
    }

    private static string BuildKernel(KernelFolder folder, string driver, KernelSource source, string variant, bool isChecked)
    {
        string sources = Path.Combine(folder.Path, "stand-in"), driverFolder = Path.GetDirectoryName(driver)!;
        string[] mode = isChecked ? ["-O1", "-g", "-fsanitize=thread,alignment", "-DQS_CHECKED"] : ["-O2"];
        string[] libraries = isChecked ? ["-nodefaultlibs", "-lstdc++", "-lm", "-lc", "-lgcc_s"] : [];   // without the sanitizer's own runtime
        string[] options =
        [
            .. Common, .. mode, "-ffp-contract=off", $"-I{sources}", $"-I{folder.Path}", .. KernelSource.Options(variant),
            "-x", "c++", source.Path, "-x", "none", driver, $"-Wl,-rpath,{driverFolder}", .. libraries,
        ];
        string[] texts = [source.Text, .. folder.Headers.Select(header => header.Text), .. Directory.EnumerateFiles(sources, "simt*.h").Order(StringComparer.Ordinal).Select(File.ReadAllText)];
        return Build($"{source.Name}{KernelSource.Suffix(variant)}{(isChecked ? "-checked" : "")}.so", options, texts, [source.Path, folder.Path, KernelCompiler.CacheFolder]);
    }

    /// <summary>Compiles into a folder that is named by the hash of all that the result depends on, unless it is there.</summary>
    /// <param name="places">Paths in the options on which the result does not depend: the same sources may lie elsewhere.</param>
    private static string Build(string file, IReadOnlyList<string> options, IEnumerable<string> texts, string[] places, params string[] more)
    {
        string compiler = Environment.GetEnvironmentVariable("CXX") is { Length: > 0 } chosen ? chosen : "g++";
        string key = KernelCompiler.Hash([compiler, ProcessorModel, .. options.Select(Placeless), .. more, .. texts]);
        string folder = Path.Combine(KernelCompiler.CacheFolder, "stand-in", key), path = Path.Combine(folder, file);
        if (File.Exists(path)) return path;
        Directory.CreateDirectory(folder);
        string partial = $"{path}.{Environment.ProcessId}-{Environment.CurrentManagedThreadId}";
        Run(compiler, [.. options, .. more, "-o", partial], file);
        File.Move(partial, path, overwrite: true);
        return path;

        string Placeless(string option) => places.Aggregate(option, (text, place) => text.Replace(place, "", StringComparison.Ordinal));
    }

    private static void Run(string compiler, IEnumerable<string> options, string what)
    {
        ProcessStartInfo start = new(compiler) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string option in options) start.ArgumentList.Add(option);
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception inner)
        {
            throw new UserException($"The stand-in for a CUDA card needs a C++ compiler, and {compiler} does not start; install g++ or name one in CXX.", inner);
        }
        using (process)
        {
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0) throw new UserException($"{what} does not compile as C++ for the stand-in:\n{errors.TrimEnd()}");
        }
    }

    /// <summary>Code for this machine's processor must not be taken for another's.</summary>
    private static string ProcessorModel { get; } = File.Exists("/proc/cpuinfo")
        ? string.Join('\n', File.ReadLines("/proc/cpuinfo").Where(line => line.StartsWith("model name", StringComparison.Ordinal) || line.StartsWith("flags", StringComparison.Ordinal)).Take(2))
        : RuntimeInformation.OSArchitecture.ToString();
}
