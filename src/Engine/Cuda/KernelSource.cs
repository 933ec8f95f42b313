using System.Text;

namespace QSharp.Engine;

/// <summary>
/// One .cu file. Its line "// variants: T=float | T=bf16" lists the sets of definitions that it is compiled with;
/// a variant's kernels bear its values as a suffix (_f32, _bf16, _bf16_64), which QS_NAME adds in the source. The compilers
/// get each definition with QS_ in front, as QS_T=bf16, and qs.cuh makes T and W types of QS_T and QS_W.
/// </summary>
/// <param name="Name">What launchers call it: the file's name without .cu, unless it takes another's place.</param>
public sealed record KernelSource(string Name, string Path, string Text)
{
    private const string Mark = "// variants:";

    /// <summary>The variants that the file lists, "" for one without definitions.</summary>
    /// <exception cref="UserException">The file has no such line.</exception>
    public IReadOnlyList<string> Variants
    {
        get
        {
            string? line = Text.Split('\n').FirstOrDefault(line => line.StartsWith(Mark, StringComparison.Ordinal));
            if (line is null) throw new UserException($"{Path} has no line \"{Mark} …\"; say which definitions it is compiled with, or none.");
            string list = line[Mark.Length..].Trim();
            return list == "none" ? [""] : [.. list.Split('|', StringSplitOptions.TrimEntries)];
        }
    }

    /// <summary>The symbols of the kernels in the file, without a variant's suffix.</summary>
    public IReadOnlyList<string> Kernels =>
        [.. Text.Split('\n').Select(line => line.Trim()).Where(line => line.StartsWith("QS_KERNEL(", StringComparison.Ordinal))
            .Select(line => line["QS_KERNEL(".Length..line.IndexOf(')')])];

    /// <summary>The suffix of a variant's symbols: "T=bf16 D=64" gives "_bf16_64", and T=float "_f32".</summary>
    public static string Suffix(string variant)
    {
        StringBuilder suffix = new();
        foreach (string definition in Definitions(variant))
        {
            string value = definition[(definition.IndexOf('=') + 1)..];
            suffix.Append('_').Append(value == "float" ? "f32" : value);
        }
        return suffix.ToString();
    }

    /// <summary>A variant's definitions for a compiler's command line, the suffix included.</summary>
    public static IReadOnlyList<string> Options(string variant) =>
        [.. Definitions(variant).Select(definition => $"-DQS_{definition}"), $"-DQS_VARIANT={Suffix(variant)}"];

    private static string[] Definitions(string variant) => variant.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>The folder with the .cu files, read at run time, so that an edited kernel needs no build.</summary>
public sealed class KernelFolder
{
    private const string Header = "qs.cuh";   // marks the folder; every kernel includes it

    private readonly Dictionary<string, string> _replaced = [];

    private KernelFolder(string path) => Path = path;

    public string Path { get; }

    /// <summary>The headers that kernels may include, by name and text.</summary>
    public IReadOnlyList<(string Name, string Text)> Headers =>
        [.. Directory.EnumerateFiles(Path, "*.cuh").Order(StringComparer.Ordinal).Select(file => (System.IO.Path.GetFileName(file), File.ReadAllText(file)))];

    /// <summary>
    /// The folder to use: the one given, else the one in QSHARP_KERNELS, else kernels-cu in the working folder, else the one
    /// beside the program.
    /// </summary>
    /// <exception cref="UserException">It holds no qs.cuh.</exception>
    public static KernelFolder Find(string? chosen = null)
    {
        chosen ??= Environment.GetEnvironmentVariable("QSHARP_KERNELS");
        string path = chosen is { Length: > 0 } ? chosen
            : IsKernelFolder("kernels-cu") ? System.IO.Path.GetFullPath("kernels-cu")
            : System.IO.Path.Combine(AppContext.BaseDirectory, "kernels-cu");
        return IsKernelFolder(path) ? new KernelFolder(path)
            : throw new UserException($"{path} holds no {Header}; give the folder of the CUDA kernels with --kernels DIR or in QSHARP_KERNELS.");
    }

    /// <summary>One kernel file.</summary>
    /// <exception cref="UserException">There is no such file.</exception>
    public KernelSource Read(string name)
    {
        string path = _replaced.GetValueOrDefault(name) ?? System.IO.Path.Combine(Path, name + ".cu");
        return File.Exists(path) ? new KernelSource(name, path, File.ReadAllText(path))
            : throw new UserException($"There is no {path}; the kernels there are: {string.Join(", ", Names)}.");
    }

    /// <summary>The same folder with another file in the place of <paramref name="name"/>.cu.</summary>
    public KernelFolder With(string name, string path)
    {
        KernelFolder folder = new(Path);
        foreach ((string other, string file) in _replaced) folder._replaced[other] = file;
        folder._replaced[name] = path;
        return folder;
    }

    /// <summary>The names of all kernel files, in order.</summary>
    public IReadOnlyList<string> Names =>
        [.. Directory.EnumerateFiles(Path, "*.cu").Select(file => System.IO.Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)];

    private static bool IsKernelFolder(string path) => File.Exists(System.IO.Path.Combine(path, Header));
}
