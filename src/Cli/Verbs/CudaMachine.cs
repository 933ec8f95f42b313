using QSharp.Engine;

namespace QSharp.Cli.Verbs;

/// <summary>One card.</summary>
/// <param name="FreeBytes">Null where the card cannot be opened.</param>
/// <param name="Problem">Why kernels cannot run on it; null if they can.</param>
internal sealed record CudaCard(string Name, CudaProperties Properties, long? FreeBytes, string? Problem);

/// <summary>What of CUDA is on the machine.</summary>
/// <param name="Driver">The CUDA version of the driver, as 12.8; null without one that starts.</param>
/// <param name="Nvrtc">NVRTC's version; null without one.</param>
/// <param name="Problem">Why there are no cards; null if there are.</param>
internal sealed record CudaMachine(IReadOnlyList<LibraryReport> Libraries, string? Driver, string? Nvrtc, IReadOnlyList<CudaCard> Cards, string? Problem)
{
    /// <summary>Looks; what is missing is reported, never thrown.</summary>
    public static CudaMachine Look()
    {
        IReadOnlyList<LibraryReport> libraries = Engine.Libraries.Report();
        string? nvrtc = libraries.Any(library => library is { Name: "nvrtc", Found: not null }) ? Attempt(() => KernelCompiler.NvrtcVersion).Value : null;
        if (libraries.Any(library => library is { Name: "cuda", Found: null }))
            return new CudaMachine(libraries, null, nvrtc, [], "no driver: its library was not found");
        (int count, string? problem) = Attempt(CudaDevice.Count);
        if (problem is not null || count == 0) return new CudaMachine(libraries, null, nvrtc, [], problem ?? "the driver works, but there is no card");
        CudaCard[] cards = [.. Enumerable.Range(0, count).Select(Look).OfType<CudaCard>()];
        int version = cards.Length > 0 ? cards[0].Properties.DriverVersion : 0;
        return new CudaMachine(
            libraries, version > 0 ? $"{version / 1000}.{version % 1000 / 10}" : null, nvrtc, cards, cards.Length > 0 ? null : "no card answers the driver");
    }

    /// <summary>A card, opened for its free memory and one small kernel; null where the driver does not even describe it.</summary>
    private static CudaCard? Look(int ordinal)
    {
        (CudaProperties? properties, _) = Attempt(() => CudaDevice.Describe(ordinal));
        if (properties is null) return null;
        (long free, string? problem) = Attempt(() =>
        {
            using CudaDevice device = CudaDevice.Open(ordinal);
            long bytes = device.FreeBytes;
            device.Kernels.Compiler.Compile(device.Kernels.Compiler.Folder.Read("fill"), "");
            return bytes;
        });
        return new CudaCard(ordinal == 0 ? "cuda" : $"cuda:{ordinal}", properties, problem is null ? free : null, problem);
    }

    private static (T? Value, string? Problem) Attempt<T>(Func<T> look)
    {
        try
        {
            return (look(), null);
        }
        catch (Exception missing) when (missing is UserException or CudaException or DllNotFoundException or EntryPointNotFoundException or BadImageFormatException)
        {
            return (default, missing.Message);
        }
    }
}
