using System.Globalization;
using System.Text.RegularExpressions;

namespace QSharp.Engine;

/// <summary>What one compiled kernel takes of a multiprocessor, as ptxas reports it in NVRTC's log.</summary>
/// <param name="Kernel">The symbol without the variant's suffix.</param>
/// <param name="Threads">Of the largest block that it is compiled for.</param>
/// <param name="Registers">Of a thread.</param>
/// <param name="SharedBytes">Static shared memory of a block.</param>
/// <param name="SpillBytes">Bytes that a thread stores to local memory, and loads from it, for want of registers.</param>
public sealed partial record KernelFigures(string Kernel, string Variant, int Architecture, int Threads, int Registers, int SharedBytes, int SpillBytes)
{
    private const int RegistersOfMultiprocessor = 65_536, RegisterUnit = 256, ReservedSharedBytes = 1 << 10;

    /// <summary>
    /// Blocks that a multiprocessor holds at a time without dynamic shared memory: the least of what registers (given out in
    /// units of 256 a warp), shared memory (a block is charged 1 KiB more), threads and the number of blocks allow.
    /// </summary>
    public int BlocksPerMultiprocessor
    {
        get
        {
            bool isSmall = Architecture is 86 or 89;
            int warps = (Threads + 31) / 32, perWarp = (Registers * 32 + RegisterUnit - 1) / RegisterUnit * RegisterUnit;
            int shared = Architecture is 80 ? 164 << 10 : isSmall ? 100 << 10 : 228 << 10;
            return new[]
            {
                RegistersOfMultiprocessor / (perWarp * warps), shared / (SharedBytes + ReservedSharedBytes),
                (isSmall ? 1536 : 2048) / Threads, Architecture switch { 86 => 16, 89 => 24, _ => 32 },
            }.Min();
        }
    }

    /// <summary>Compiles a variant of a file for an architecture and reads the figures of its kernels.</summary>
    /// <exception cref="UserException">It does not compile; NVRTC only makes PTX for the architecture.</exception>
    public static IReadOnlyList<KernelFigures> Of(KernelCompiler compiler, KernelSource source, string variant)
    {
        CompiledKernels compiled = compiler.Compile(source, variant);
        if (compiled.IsPtx) throw new UserException($"NVRTC {compiler.Version} makes only PTX for sm_{compiler.Architecture}, so registers are not known; install a newer NVRTC.");
        IReadOnlyDictionary<string, int> threads = Cubin.Threads(compiled.Image);
        string suffix = KernelSource.Suffix(variant);
        List<KernelFigures> figures = [];
        string[] reports = compiled.Log.Split("Compiling entry function '");
        foreach (string report in reports[1..])
        {
            string symbol = report[..report.IndexOf('\'')], kernel = symbol.EndsWith(suffix, StringComparison.Ordinal) ? symbol[..^suffix.Length] : symbol;
            figures.Add(new KernelFigures(
                kernel, variant, compiler.Architecture, threads[symbol], Number(Used(), report), Number(Shared(), report), Number(SpillStores(), report) + Number(SpillLoads(), report)));
        }
        return figures;
    }

    private static int Number(Regex pattern, string report) =>
        pattern.Match(report) is { Success: true } match ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Used();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();

    [GeneratedRegex(@"(\d+) bytes spill stores")]
    private static partial Regex SpillStores();

    [GeneratedRegex(@"(\d+) bytes spill loads")]
    private static partial Regex SpillLoads();
}
