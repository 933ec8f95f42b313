using System.Collections.Concurrent;
using System.Globalization;

using QSharp.Cli.Verbs;
using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>
/// What every kernel may take of a card, written down in kernels-cu/budget.tsv, so that a commit's diff shows what a change
/// costs. QSHARP_UPDATE_BUDGET=1 writes the table anew.
/// </summary>
public class BudgetTests
{
    private const string Version = "11.8";

    private static readonly string Folder = Path.Combine(Repository.Root, "kernels-cu"), Table = Path.Combine(Folder, "budget.tsv");

    private static readonly string[] Head =
    [
        $"# Figures of NVRTC {Version}; other versions give other registers. To write it anew: QSHARP_UPDATE_BUDGET=1 and the tests' class BudgetTests.",
        "kernel\tvariant\tsm\tthreads\tregisters\tstatic shared\tspill bytes",
    ];

    [Fact]
    public void No_kernel_takes_more_than_its_row_and_none_spills()
    {
        KernelFigures[] now = Compile();
        Assert.True(now.Length > 50, $"{now.Length} kernels compiled");
        if (Environment.GetEnvironmentVariable("QSHARP_UPDATE_BUDGET") == "1")
            File.WriteAllLines(Table, [.. Head, .. now.Select(figures => $"{Key(figures)}\t{string.Join('\t', Figures(figures))}")]);
        string[] lines = File.ReadAllLines(Table);
        Assert.Equal(Head, lines[..Head.Length]);
        Assert.Empty(Wrong(now, lines[Head.Length..]));
    }

    [Theory]
    [InlineData("k\tT=bf16\t90\t256\t32\t128\t0")]
    [InlineData("k\tT=bf16\t90\t256\t31\t128\t0", "k T=bf16 sm_90 takes 32 registers, and its row allows 31.")]
    [InlineData("k\tT=bf16\t90\t256\t40\t64\t0", "k T=bf16 sm_90 takes 128 bytes of static shared memory, and its row allows 64.")]
    [InlineData("k\tT=bf16\t90\t128\t40\t128\t0", "k T=bf16 sm_90 takes 256 threads, and its row allows 128.")]
    [InlineData("k\tT=bf16\t80\t256\t32\t128\t0", "k T=bf16 sm_90 has no row.", "The row k T=bf16 sm_80 has no kernel.")]
    public void A_figure_that_grew_a_missing_row_and_a_row_too_many_are_told(string row, params string[] wrong) =>
        Assert.Equal(wrong, Wrong([new KernelFigures("k", "T=bf16", 90, 256, 32, 128, 0)], [row]));

    [Fact]
    public void A_spill_is_wrong_even_where_the_row_allows_it() =>
        Assert.Equal(["k none sm_90 spills 8 bytes."], Wrong([new KernelFigures("k", "", 90, 256, 32, 0, 8)], ["k\tnone\t90\t256\t32\t0\t8"]));

    [Theory]   // by hand: registers, shared memory, threads and the card's own limit in turn
    [InlineData(90, 256, 64, 0, 4)]
    [InlineData(90, 128, 33, 0, 12)]
    [InlineData(90, 128, 16, 48 << 10, 4)]
    [InlineData(80, 256, 16, 0, 8)]
    [InlineData(86, 256, 16, 0, 6)]
    [InlineData(86, 32, 16, 0, 16)]
    [InlineData(89, 32, 16, 0, 24)]
    [InlineData(90, 32, 16, 0, 32)]
    public void Blocks_of_a_multiprocessor(int architecture, int threads, int registers, int shared, int blocks) =>
        Assert.Equal(blocks, new KernelFigures("k", "", architecture, threads, registers, shared, 0).BlocksPerMultiprocessor);

    [Fact]
    public void Every_kernel_file_is_used_by_a_case() =>
        Assert.Empty(KernelFolder.Find(Folder).Names.Except(OpCases.All.SelectMany(op => op.Kernels)));

    private static KernelFigures[] Compile()
    {
        string? missing = Libraries.Report().Any(library => library is { Name: "nvrtc", Found: not null })
            ? KernelCompiler.NvrtcVersion == Version ? null : $"NVRTC is {KernelCompiler.NvrtcVersion}, the budget is of {Version}."
            : "NVRTC is not on this machine.";
        if (missing is not null)
        {
            Assert.False(Environment.GetEnvironmentVariable("CI") is not null, $"In CI the budget may not be skipped: {missing}");
            Assert.Skip(missing);
        }
        KernelFolder folder = KernelFolder.Find(Folder);
        KernelCompiler[] compilers = [.. KernelListing.Architectures.Select(architecture => new KernelCompiler(folder, architecture))];
        ConcurrentBag<KernelFigures> all = [];
        Parallel.ForEach(
            folder.Names.Select(folder.Read).SelectMany(source => source.Variants.SelectMany(variant => compilers.Select(compiler => (source, variant, compiler)))),
            new ParallelOptions { MaxDegreeOfParallelism = 2 },
            job =>
            {
                foreach (KernelFigures figures in KernelFigures.Of(job.compiler, job.source, job.variant)) all.Add(figures);
            });
        return [.. all.OrderBy(figures => figures.Kernel, StringComparer.Ordinal).ThenBy(figures => figures.Variant, StringComparer.Ordinal).ThenBy(figures => figures.Architecture)];
    }

    private static string[] Wrong(KernelFigures[] now, string[] rows)
    {
        Dictionary<string, int[]> allowed = rows.Select(row => row.Split('\t'))
            .ToDictionary(cells => string.Join('\t', cells[..3]), cells => cells[3..].Select(cell => int.Parse(cell, CultureInfo.InvariantCulture)).ToArray());
        string[] units = ["threads", "registers", "bytes of static shared memory"];
        List<string> wrong = [];
        foreach (KernelFigures figures in now)
        {
            if (figures.SpillBytes > 0) wrong.Add($"{Shown(Key(figures))} spills {figures.SpillBytes} bytes.");
            if (!allowed.Remove(Key(figures), out int[]? row))
                wrong.Add($"{Shown(Key(figures))} has no row.");
            else
                for (int i = 0; i < units.Length; i++)
                    if (Figures(figures)[i] > row[i]) wrong.Add($"{Shown(Key(figures))} takes {Figures(figures)[i]} {units[i]}, and its row allows {row[i]}.");
        }
        wrong.AddRange(allowed.Keys.Select(key => $"The row {Shown(key)} has no kernel."));
        return [.. wrong];
    }

    private static string Key(KernelFigures figures) => $"{figures.Kernel}\t{(figures.Variant.Length > 0 ? figures.Variant : "none")}\t{figures.Architecture}";

    private static int[] Figures(KernelFigures figures) => [figures.Threads, figures.Registers, figures.SharedBytes, figures.SpillBytes];

    private static string Shown(string key) => key.Insert(key.LastIndexOf('\t') + 1, "sm_").Replace('\t', ' ');
}
