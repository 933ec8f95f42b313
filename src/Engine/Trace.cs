using System.Diagnostics;
using System.Text;

namespace QSharp.Engine;

/// <summary>One op that ran.</summary>
/// <param name="Tensors">Types and shapes.</param>
/// <param name="IsOnCard">Whether the times are the card's own; an op of a card is told twice, with the host's times too.</param>
/// <param name="Start">Microseconds since the trace began.</param>
/// <param name="Duration">Microseconds.</param>
public readonly record struct TracedOp(string Name, string Tensors, bool IsOnCard, double Start, double Duration);

/// <summary>
/// Tells of each op with shapes and times. On CUDA the card's own times come from events around each op, beside the host's;
/// recorded steps then run plainly, as a graph shows no single ops.
/// </summary>
public sealed class Trace : IDisposable
{
    private const int PendingBeforeFlush = 2048;

    private readonly Device _device;
    private readonly Action<TracedOp> _write;
    private readonly Action _end;
    private readonly List<Pending> _pending = [];
    private readonly Stack<CudaEvent> _events = [];
    private readonly CudaEvent? _base;
    private readonly long _start = Stopwatch.GetTimestamp();

    private Trace(Device device, Action<TracedOp> write, Action end)
    {
        _device = device;
        _write = write;
        _end = end;
        if (device is not CudaDevice card) return;
        card.Records = false;
        _base = new CudaEvent(card);
        _base.Record();
    }

    /// <summary>The trace that runs, if one does.</summary>
    public static Trace? Current { get; private set; }

    /// <summary>Begins a trace of a device's ops into a file.</summary>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public static Trace Start(string path, Device device)
    {
        TraceFile file = new(path, (device as CudaDevice)?.Properties.Name);
        return Start(device, file.Write, file.Complete);
    }

    /// <summary>Begins a trace of a device's ops.</summary>
    /// <param name="write">Takes each op, those of a card some time after they ran.</param>
    /// <param name="end">Called after the last op.</param>
    public static Trace Start(Device device, Action<TracedOp> write, Action end) => Current = new Trace(device, write, end);

    /// <summary>Tells of what is left and ends. A device that is disposed of ends its trace so.</summary>
    public void Dispose()
    {
        if (Current != this) return;
        Current = null;
        if (_device is CudaDevice { IsLost: false } card)
        {
            Flush();
            card.Records = !CudaDevice.IsSynchronous;
        }
        foreach (CudaEvent mark in _events) mark.Dispose();
        _base?.Dispose();
        _end();
    }

    internal bool IsOf(Device device) => ReferenceEquals(device, _device);

    internal CudaEvent? Mark()
    {
        if (_device is not CudaDevice card) return null;
        CudaEvent mark = _events.Count > 0 ? _events.Pop() : new CudaEvent(card);
        mark.Record();
        return mark;
    }

    internal void End(string op, string shapes, long begin, CudaEvent? first)
    {
        long end = Stopwatch.GetTimestamp();
        _write(new TracedOp(op, shapes, false, Microseconds(begin - _start), Microseconds(end - begin)));
        if (first is null) return;
        _pending.Add(new Pending(op, shapes, first, Mark()!));
        if (_pending.Count >= PendingBeforeFlush) Flush();
    }

    private void Flush()
    {
        if (_pending.Count == 0) return;
        _device.Synchronize();
        foreach ((string op, string shapes, CudaEvent first, CudaEvent last) in _pending)
        {
            _write(new TracedOp(op, shapes, true, 1000.0 * first.MillisecondsSince(_base!), 1000.0 * last.MillisecondsSince(first)));
            _events.Push(first);
            _events.Push(last);
        }
        _pending.Clear();
    }

    private static double Microseconds(long ticks) => ticks * 1e6 / Stopwatch.Frequency;

    private readonly record struct Pending(string Op, string Shapes, CudaEvent First, CudaEvent Last);
}

/// <summary>One op while it runs, in the trace and for a profiler; nothing where there is neither.</summary>
public readonly ref struct OpSpan
{
    private readonly Trace? _trace;
    private readonly string _op, _shapes;
    private readonly long _begin;
    private readonly CudaEvent? _first;
    private readonly bool _isPushed;

    private OpSpan(Trace? trace, string op, string shapes)
    {
        _trace = trace;
        _op = op;
        _shapes = shapes;
        _isPushed = Nvtx.IsAttached;
        if (_isPushed) Nvtx.Push(op);
        _first = trace?.Mark();
        _begin = Stopwatch.GetTimestamp();
    }

    /// <summary>Begins an op if a trace of its device runs, or a profiler.</summary>
    public static OpSpan Of(Device device, string op, in Tensor a, in Tensor b, in Tensor c, in Tensor d)
    {
        if (Trace.Current is not { } trace || !trace.IsOf(device)) return Nvtx.IsAttached ? new OpSpan(null, op, "") : default;
        StringBuilder shapes = new(a.ToString());
        foreach (Tensor tensor in (Tensor[])[b, c, d])
            if (!tensor.IsNone) shapes.Append(' ').Append(tensor);
        return new OpSpan(trace, op, shapes.ToString());
    }

    public void Dispose()
    {
        _trace?.End(_op, _shapes, _begin, _first);
        if (_isPushed) Nvtx.Pop();
    }
}
