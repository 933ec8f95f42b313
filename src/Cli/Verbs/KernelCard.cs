using System.Globalization;

using QSharp.Engine;

namespace QSharp.Cli.Verbs;

/// <summary>Where kernels run: a card, or the stand-in for one.</summary>
internal sealed class KernelCard
{
    private readonly int _ordinal;

    private KernelCard(int ordinal, bool isStandIn)
    {
        _ordinal = ordinal;
        IsStandIn = isStandIn;
    }

    public bool IsStandIn { get; }

    /// <param name="name">auto, cuda, cuda:N or stand-in.</param>
    /// <exception cref="UserException">The name is not known, there is no card, or the stand-in cannot be built.</exception>
    public static KernelCard Choose(string name, KernelFolder folder)
    {
        if (Ordinal(name) is { } ordinal) return new KernelCard(ordinal, false);
        StandIn.Load(folder);
        return new KernelCard(0, true);
    }

    /// <summary>The architecture of the card if a card is what the name means; null for the stand-in.</summary>
    public static int? Architecture(string name) => Ordinal(name) is { } ordinal ? CudaDevice.Describe(ordinal).Architecture : null;

    public CudaDevice Open(KernelFolder folder) => CudaDevice.Open(_ordinal, folder);

    /// <summary>The number of the card; null for the stand-in.</summary>
    private static int? Ordinal(string name)
    {
        bool hasCard = !StandIn.IsLoaded && CudaDevice.IsPresent;
        if (name == "stand-in") return null;
        if (name == "auto") return hasCard ? 0 : null;
        int ordinal = 0;
        if (name != "cuda" && !(name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out ordinal)))
            throw new UserException($"--device {name}: kernels run on auto, cuda, cuda:N or stand-in.");
        if (!hasCard) throw new UserException($"--device {name}: this machine has no CUDA card with a driver that works; `qsharp devices` says what was found, and --device stand-in checks kernels without a card.");
        int count = CudaDevice.Count();
        return ordinal < count ? ordinal : throw new UserException($"--device {name}: the machine has {count} CUDA card{(count == 1 ? "" : "s")}; `qsharp devices` lists them.");
    }
}
