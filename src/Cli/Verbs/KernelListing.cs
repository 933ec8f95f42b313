using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Cli.Verbs;

/// <summary>What kernels take of a card, from the compiler alone.</summary>
internal static class KernelListing
{
    /// <summary>A100, the small Ampere cards, the Ada cards, H100: what the kernels are compiled for where no card says.</summary>
    public static IReadOnlyList<int> Architectures { get; } = [80, 86, 89, 90];

    /// <exception cref="UserException">NVRTC is missing, or a kernel does not compile.</exception>
    public static void Print(KernelRequest request, KernelChoice choice, TextWriter output, JsonObject document)
    {
        JsonArray kernels = [];
        List<string[]> rows = [["kernel", "variant", "sm", "threads", "registers", "static shared", "spills", "blocks/SM"]];
        KernelCompiler[] compilers = [.. Targets(request).Select(architecture => new KernelCompiler(choice.Folder, architecture))];
        foreach (string file in choice.Files)
        {
            KernelSource source = choice.Folder.Read(file);
            foreach (string variant in choice.Variants(source))
                foreach (KernelFigures figures in compilers.SelectMany(compiler => KernelFigures.Of(compiler, source, variant)).OrderBy(figures => figures.Kernel, StringComparer.Ordinal))
                {
                    rows.Add(
                    [
                        figures.Kernel, variant.Length > 0 ? variant : "none", Number(figures.Architecture), Number(figures.Threads), Number(figures.Registers),
                        Number(figures.SharedBytes), Number(figures.SpillBytes), Number(figures.BlocksPerMultiprocessor),
                    ]);
                    kernels.Add((JsonNode)Json(file, figures));
                }
        }
        document["nvrtc"] = compilers[0].Version;
        document["kernels"] = kernels;
        ResultTable.Print(output, rows);
        output.WriteLine();
        output.WriteLine($"NVRTC {compilers[0].Version}; static shared memory and spills in bytes; blocks/SM without dynamic shared memory.");
    }

    /// <exception cref="UserException">NVRTC is missing, or the kernel does not compile.</exception>
    public static void PrintPtx(KernelRequest request, KernelChoice choice, TextWriter output, JsonObject document)
    {
        KernelCompiler compiler = new(choice.Folder, Targets(request)[^1]);
        JsonObject texts = [];
        foreach (string file in choice.Files)
        {
            KernelSource source = choice.Folder.Read(file);
            string ptx = compiler.Ptx(source, choice.Variants(source)[0]);
            output.WriteLine(ptx.TrimEnd());
            texts[file] = ptx;
        }
        document["ptx"] = texts;
    }

    /// <summary>The card's architecture, or all that NVRTC knows of the usual ones.</summary>
    private static IReadOnlyList<int> Targets(KernelRequest request)
    {
        IReadOnlyList<int> known = KernelCompiler.Architectures;
        if (KernelCard.Architecture(request.Device) is { } own && known.Contains(own)) return [own];
        int[] usual = [.. Architectures.Where(known.Contains)];
        return usual.Length > 0 ? usual
            : throw new UserException($"NVRTC knows none of sm_{string.Join(", sm_", Architectures)}; `qsharp devices` says which NVRTC was found.");
    }

    private static JsonObject Json(string file, KernelFigures figures) => new()
    {
        ["file"] = file,
        ["kernel"] = figures.Kernel,
        ["variant"] = figures.Variant,
        ["sm"] = figures.Architecture,
        ["threads"] = figures.Threads,
        ["registers"] = figures.Registers,
        ["static_shared_bytes"] = figures.SharedBytes,
        ["spill_bytes"] = figures.SpillBytes,
        ["blocks_per_sm"] = figures.BlocksPerMultiprocessor,
    };

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
