using System.Globalization;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Verbs;

/// <summary>What the command line asks of the kernels.</summary>
internal sealed record KernelRequest
{
    public string? Name { get; init; }

    public bool IsAll { get; init; }

    public bool Lists { get; init; }

    public bool Checks { get; init; }

    /// <summary>Checks the named operations of qs.cuh, which belong to no kernel.</summary>
    public bool ChecksOperations { get; init; }

    public bool Times { get; init; }

    public bool Watches { get; init; }

    public bool PrintsPtx { get; init; }

    /// <summary>A file to hold the kernel against: the old version.</summary>
    public string? Versus { get; init; }

    public string? Variant { get; init; }

    public string? Shape { get; init; }

    public string? Folder { get; init; }

    public string Device { get; init; } = "auto";

    /// <summary>For tests: times on the stand-in too, whose clock is simulated.</summary>
    public bool TimesStandIn { get; init; }
}

/// <summary>The kernel files and op cases that a request means.</summary>
internal sealed class KernelChoice
{
    private readonly int[]? _sizes;

    private KernelChoice(KernelFolder folder, IReadOnlyList<string> files, IReadOnlyList<OpCase> cases, int[]? sizes, string? variant)
    {
        Folder = folder;
        Files = files;
        Cases = cases;
        _sizes = sizes;
        Variant = variant;
    }

    public KernelFolder Folder { get; }

    public IReadOnlyList<string> Files { get; }

    public IReadOnlyList<OpCase> Cases { get; }

    public string? Variant { get; }

    /// <exception cref="UserException">No kernel or case bears the name, or the shape fits none of the cases.</exception>
    public static KernelChoice Of(KernelRequest request)
    {
        KernelFolder folder = KernelFolder.Find(request.Folder);
        IReadOnlyList<string> names = folder.Names, files;
        IReadOnlyList<OpCase> cases;
        if (request.Name is null)
        {
            if (!request.IsAll && (request.Checks || request.Times || request.Watches || request.PrintsPtx || request.Versus is not null))
                throw new UserException("kernel: name a kernel, or say --all; `qsharp kernel --list` shows them.");
            files = names;
            cases = [.. OpCases.All.Where(op => op.Kernels.Any(names.Contains))];
        }
        else if (request.IsAll)
        {
            throw new UserException($"kernel {request.Name} --all: name one kernel or say --all, not both.");
        }
        else if (names.Contains(request.Name))
        {
            files = [request.Name];
            cases = [.. OpCases.All.Where(op => op.Kernels.Contains(request.Name))];
        }
        else
        {
            OpCase op = OpCases.All.FirstOrDefault(op => op.Name == request.Name)
                ?? throw new UserException($"kernel {request.Name}: there is no such kernel or op case in {folder.Path}{Nearest.Hint(request.Name, names.Concat(OpCases.All.Select(op => op.Name)))}; `qsharp kernel --list` shows them.");
            files = [.. op.Kernels.Where(names.Contains)];
            cases = [op];
        }
        return new KernelChoice(folder, files, cases, request.Shape is { } shape ? Sizes(shape, cases) : null, request.Variant);
    }

    /// <summary>The shapes of a case, the one of --shape first if it has as many sizes.</summary>
    public IReadOnlyList<CaseShape> Shapes(OpCase op) => Given(op) is { } given ? [given, .. op.Shapes] : op.Shapes;

    /// <summary>What is timed: the first shape, and that of --shape.</summary>
    public IReadOnlyList<CaseShape> TimedShapes(OpCase op) => Given(op) is { } given ? [given, op.Shapes[0]] : [op.Shapes[0]];

    public static IReadOnlyList<DType> Types(OpCase op) => op.HasActivations ? [DType.F32, DType.BF16] : [DType.F32];

    /// <summary>The variants of a file that are listed: all, or that of --variant.</summary>
    /// <exception cref="UserException">The file has no such variant.</exception>
    public IReadOnlyList<string> Variants(KernelSource source)
    {
        if (Variant is null) return source.Variants;
        string[] chosen = [.. source.Variants.Where(variant => variant == Variant || KernelSource.Suffix(variant).TrimStart('_') == Variant.TrimStart('_'))];
        return chosen.Length > 0 ? chosen
            : throw new UserException($"--variant {Variant}: {source.Name} has the variants {string.Join(" | ", source.Variants.Select(variant => variant.Length > 0 ? variant : "none"))}.");
    }

    /// <summary>Runs something for a shape; where that is the user's own and the op refuses it, the sentence says so.</summary>
    public static T Guarded<T>(OpCase op, CaseShape s, Func<T> run)
    {
        try
        {
            return run();
        }
        catch (Exception wrong) when (s.Label == GivenLabel && wrong is ArgumentException or ArithmeticException or IndexOutOfRangeException)
        {
            throw new UserException($"--shape {string.Join('x', s.Sizes)}: {op.Name} cannot run with these sizes ({wrong.Message.TrimEnd('.')}); its first shape is {op.Shapes[0]}.", wrong);
        }
    }

    private const string GivenLabel = "given";

    private CaseShape? Given(OpCase op) => _sizes is not null && op.Shapes[0].Sizes.Length == _sizes.Length ? new CaseShape(GivenLabel, _sizes) : null;

    private static int[] Sizes(string text, IReadOnlyList<OpCase> cases)
    {
        int[] sizes = [.. text.Split('x').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int size) ? size : -1)];
        if (sizes.Contains(-1)) throw new UserException($"--shape {text}: give whole numbers with x between them, such as 8192x4096.");
        if (cases.Any(op => op.Shapes[0].Sizes.Length == sizes.Length)) return sizes;
        string wanted = string.Join("; ", cases.Select(op => $"{op.Name} has {op.Shapes[0].Sizes.Length} sizes, such as {string.Join('x', op.Shapes[0].Sizes)}"));
        throw new UserException($"--shape {text} has {sizes.Length} sizes, but {(wanted.Length > 0 ? wanted : "no op case uses this kernel")}.");
    }
}
