using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>How long a case takes on a card, and the least that it could.</summary>
/// <param name="Microseconds">The median of all runs.</param>
/// <param name="FloorMicroseconds">By the case's cost and the card's figures; null where the case states no cost.</param>
internal sealed record CaseTiming(double Microseconds, double? FloorMicroseconds, Cost? Cost)
{
    /// <summary>Whether memory, rather than arithmetic, sets the floor.</summary>
    public bool IsMemoryBound { get; init; }
}

/// <summary>
/// Times op cases by the card's own clock: warm-up, then a median of runs, each behind a write of more than the L2 cache, so
/// that every byte comes from memory. Several contestants run in turn, so that a change of the card's clock hits them alike.
/// </summary>
internal sealed class CaseTimer(CudaDevice device, OpCase op, CaseShape s, bool isBackward) : IDisposable
{
    private const int WarmUps = 5, Runs = 31;

    private readonly CaseRun _run = new(op, s, device);
    private readonly DeviceBuffer _flush = device.Allocate(2L * Math.Max(device.Properties.L2Bytes, 1 << 20));
    private readonly CudaEvent _start = new(device), _end = new(device);

    /// <summary>Whether a case can be timed in this shape: it has work to do, and a backward if that is asked for.</summary>
    public static bool CanTime(OpCase op, CaseShape s, bool isBackward) => isBackward ? op.HasBackward(s) && op.Cost(s).Bytes > 0 : op.Cost(s).Bytes > 0;

    /// <summary>Times contestants in turn.</summary>
    public static CaseTiming[] Time(params IReadOnlyList<CaseTimer> contestants)
    {
        double[][] times = [.. contestants.Select(_ => new double[Runs])];
        foreach (CaseTimer each in contestants) each.Prepare();
        for (int run = -WarmUps; run < Runs; run++)
            for (int c = 0; c < contestants.Count; c++)
            {
                double microseconds = contestants[c].Once();
                if (run >= 0) times[c][run] = microseconds;
            }
        return [.. contestants.Select((each, c) => each.Timing(times[c].Order().ElementAt(Runs / 2)))];
    }

    public void Dispose()
    {
        _end.Dispose();
        _start.Dispose();
        _flush.Dispose();
        _run.Dispose();
    }

    /// <summary>Backward needs what forward keeps.</summary>
    private void Prepare()
    {
        if (isBackward) _run.Forward();
    }

    private double Once()
    {
        if (!isBackward) _run.Restart(device);
        device.Clear(new Tensor(_flush, 0, DType.I32, (int)(_flush.Bytes / sizeof(int))));   // long enough to hide the launches behind it
        _start.Record();
        if (isBackward) _run.Backward();
        else _run.Forward();
        _end.Record();
        _end.Wait();
        return 1e3 * _end.MillisecondsSince(_start);
    }

    private CaseTiming Timing(double microseconds)
    {
        if (isBackward) return new CaseTiming(microseconds, null, null);
        Cost cost = op.Cost(s);
        double memory = 1e6 * cost.Bytes / device.Properties.MemoryBytesPerSecond;
        double arithmetic = 1e6 * cost.Flops / (op.Activations == DType.BF16 ? device.Properties.TensorFlopsPerSecond : device.Properties.FlopsPerSecond);
        return new CaseTiming(microseconds, Math.Max(memory, arithmetic), cost) { IsMemoryBound = memory >= arithmetic };
    }
}
