using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace QSharp.Engine;

/// <summary>What NVRTC made of one variant of a kernel file.</summary>
/// <param name="Image">A cubin, or PTX where the compiler does not know the device.</param>
/// <param name="IsPtx">Whether it is PTX.</param>
/// <param name="Log">The compiler's report: warnings, and registers, shared memory and spills of each kernel.</param>
public sealed record CompiledKernels(byte[] Image, bool IsPtx, string Log);

/// <summary>
/// Compiles kernel files with NVRTC for one architecture, and keeps the results on disk. A result's name is the hash of
/// all that it depends on (source, header, options, NVRTC's version, architecture), but not of where the sources lie, and files
/// appear by renaming, so several processes and checkouts may share the folder. QSHARP_CACHE names another folder than the user's own cache.
/// </summary>
public sealed unsafe class KernelCompiler
{
    /// <summary>The oldest architecture that the kernels are written for: bf16 and asynchronous copies begin there.</summary>
    public const int OldestArchitecture = 80;

    private readonly bool _hasSafeLineInfo;
    private readonly string _target;
    private readonly bool _isPtx;

    /// <param name="folder">Where the kernels are.</param>
    /// <param name="architecture">Ten times the compute capability: 90 for an H100.</param>
    /// <exception cref="UserException">NVRTC is not on the machine, or the architecture is too old.</exception>
    public KernelCompiler(KernelFolder folder, int architecture)
    {
        Libraries.Require(Libraries.Nvrtc);
        if (architecture < OldestArchitecture)
            throw new UserException($"The card has compute capability {architecture / 10}.{architecture % 10}, but the kernels need {OldestArchitecture / 10}.{OldestArchitecture % 10} or newer (Ampere); use --device cpu.");
        Folder = folder;
        Architecture = architecture;
        Version = NvrtcVersion;
        _hasSafeLineInfo = int.Parse(Version.Split('.')[0], CultureInfo.InvariantCulture) >= 12;
        (_target, _isPtx) = Target(architecture, Architectures);
    }

    public KernelFolder Folder { get; }

    /// <summary>Ten times the compute capability that it compiles for.</summary>
    public int Architecture { get; }

    /// <summary>NVRTC's version.</summary>
    public string Version { get; }

    /// <summary>The architectures that NVRTC compiles for, ten times the compute capability, in order.</summary>
    /// <exception cref="UserException">NVRTC is not on the machine.</exception>
    public static IReadOnlyList<int> Architectures
    {
        get
        {
            Libraries.Require(Libraries.Nvrtc);
            Cuda.CheckNvrtc(Nvrtc.nvrtcGetNumSupportedArchs(out int count));
            int[] architectures = new int[count];
            fixed (int* to = architectures) Cuda.CheckNvrtc(Nvrtc.nvrtcGetSupportedArchs(to));
            return [.. architectures.Order()];
        }
    }

    /// <summary>The version of the NVRTC that was found.</summary>
    /// <exception cref="UserException">NVRTC is not on the machine.</exception>
    public static string NvrtcVersion
    {
        get
        {
            Libraries.Require(Libraries.Nvrtc);
            Cuda.CheckNvrtc(Nvrtc.nvrtcVersion(out int major, out int minor));
            return $"{major}.{minor}";
        }
    }

    /// <summary>The folder of compiled kernels.</summary>
    public static string CacheFolder =>
        Environment.GetEnvironmentVariable("QSHARP_CACHE") is { Length: > 0 } chosen ? chosen
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create), "qsharp", "kernels");

    /// <summary>
    /// What to compile for: a cubin for the card itself, which needs no compilation by the driver and no match of versions, or PTX of the
    /// newest architecture before it where NVRTC does not know the card's own.
    /// </summary>
    /// <param name="known">NVRTC's, in order.</param>
    /// <exception cref="UserException">It knows newer ones alone.</exception>
    internal static (string Name, bool IsPtx) Target(int architecture, IReadOnlyList<int> known)
    {
        if (known.Contains(architecture)) return ($"sm_{architecture}", false);
        int before = known.LastOrDefault(each => each < architecture);
        if (before == 0)
            throw new UserException($"NVRTC compiles for compute capability {known[0] / 10}.{known[0] % 10} and newer, but the card has {architecture / 10}.{architecture % 10}; install an older CUDA toolkit, or use --device cpu.");
        return ($"compute_{before}", true);
    }

    /// <summary>Compiles one variant of a kernel file, or takes it from disk.</summary>
    /// <exception cref="UserException">The source does not compile; the compiler's log follows, with the file's path and lines.</exception>
    public CompiledKernels Compile(KernelSource source, string variant)
    {
        string[] options = [$"--gpu-architecture={_target}", "--ptxas-options=-v", .. CommonOptions, .. KernelSource.Options(variant)];
        IReadOnlyList<(string Name, string Text)> headers = Folder.Headers;
        string key = Hash([source.Text, FileName(source), string.Join(' ', options), Version, .. headers.Select(header => header.Text)]);
        string file = Path.Combine(CacheFolder, $"{source.Name}{KernelSource.Suffix(variant)}-{_target}-{key}");
        if (File.Exists(file + ".log") && File.Exists(file + ".bin"))
            return new CompiledKernels(File.ReadAllBytes(file + ".bin"), _isPtx, File.ReadAllText(file + ".log"));
        CompiledKernels compiled = Compile(source, headers, options, _isPtx);
        Directory.CreateDirectory(CacheFolder);
        Write(file + ".bin", compiled.Image);
        Write(file + ".log", Encoding.UTF8.GetBytes(compiled.Log));
        return compiled;
    }

    /// <summary>The PTX of one variant, for reading.</summary>
    public string Ptx(KernelSource source, string variant)
    {
        string architecture = _target.Replace("sm_", "compute_", StringComparison.Ordinal);
        string[] options = [$"--gpu-architecture={architecture}", .. CommonOptions, .. KernelSource.Options(variant)];
        return Encoding.UTF8.GetString(Compile(source, Folder.Headers, options, isPtx: true).Image).TrimEnd('\0');
    }

    private static CompiledKernels Compile(KernelSource source, IReadOnlyList<(string Name, string Text)> headers, string[] options, bool isPtx)
    {
        nint text = Marshal.StringToCoTaskMemUTF8(source.Text), name = Marshal.StringToCoTaskMemUTF8(FileName(source));
        nint[] headerTexts = [.. headers.Select(header => Marshal.StringToCoTaskMemUTF8(header.Text))];
        nint[] headerNames = [.. headers.Select(header => Marshal.StringToCoTaskMemUTF8(header.Name))];
        nint[] texts = [.. options.Select(Marshal.StringToCoTaskMemUTF8)];
        string detail = $"for {source.Path}";
        nint program = 0;
        try
        {
            fixed (nint* headerText = headerTexts, headerName = headerNames)
                Cuda.CheckNvrtc(Nvrtc.nvrtcCreateProgram(out program, (byte*)text, (byte*)name, headers.Count, (byte**)headerText, (byte**)headerName), detail);
            int result;
            fixed (nint* first = texts) result = Nvrtc.nvrtcCompileProgram(program, texts.Length, (byte**)first);
            if (result != Nvrtc.CompilationError) Cuda.CheckNvrtc(result, detail, nameof(Nvrtc.nvrtcCompileProgram));
            string log = Log(program, detail);
            if (result == Nvrtc.CompilationError)
                throw new UserException($"{source.Path} does not compile:\n{log.Replace($"{FileName(source)}(", $"{source.Path}(", StringComparison.Ordinal)}");
            return new CompiledKernels(Image(program, isPtx, detail), isPtx, log);
        }
        finally
        {
            if (program != 0) Nvrtc.nvrtcDestroyProgram(ref program);
            foreach (nint memory in (nint[])[text, name, .. headerTexts, .. headerNames, .. texts]) Marshal.FreeCoTaskMem(memory);
        }
    }

    /// <summary>Line numbers for the profiler, but not from NVRTC 11, which with them recurses without end on any template that is used.</summary>
    private string[] CommonOptions => _hasSafeLineInfo ? ["--std=c++17", "--generate-line-info"] : ["--std=c++17"];

    /// <summary>What the compiler calls a source, wherever it lies.</summary>
    private static string FileName(KernelSource source) => source.Name + ".cu";

    private static string Log(nint program, string detail)
    {
        Cuda.CheckNvrtc(Nvrtc.nvrtcGetProgramLogSize(program, out nuint bytes), detail);
        byte[] log = new byte[(int)bytes];
        fixed (byte* to = log) Cuda.CheckNvrtc(Nvrtc.nvrtcGetProgramLog(program, to), detail);
        return Encoding.UTF8.GetString(log).TrimEnd('\0', '\n');
    }

    private static byte[] Image(nint program, bool isPtx, string detail)
    {
        nuint bytes;
        if (isPtx) Cuda.CheckNvrtc(Nvrtc.nvrtcGetPTXSize(program, out bytes), detail);
        else Cuda.CheckNvrtc(Nvrtc.nvrtcGetCUBINSize(program, out bytes), detail);
        byte[] image = new byte[(int)bytes];
        fixed (byte* to = image)
        {
            if (isPtx) Cuda.CheckNvrtc(Nvrtc.nvrtcGetPTX(program, to), detail);
            else Cuda.CheckNvrtc(Nvrtc.nvrtcGetCUBIN(program, to), detail);
        }
        return image;
    }

    private static void Write(string path, byte[] bytes)
    {
        string partial = $"{path}.{Environment.ProcessId}-{Environment.CurrentManagedThreadId}";
        File.WriteAllBytes(partial, bytes);
        File.Move(partial, path, overwrite: true);
    }

    /// <summary>The name of a result in the cache, from all that it depends on.</summary>
    internal static string Hash(string[] parts)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in parts)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(part));
            hash.AppendData([0]);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..20];
    }
}
