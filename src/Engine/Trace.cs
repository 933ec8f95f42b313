using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace QSharp.Engine;

/// <summary>
/// A record of ops with shapes and times for ui.perfetto.dev or chrome://tracing. On CUDA the card's own times come from
/// events around each op, beside the host's; recorded steps then run plainly, as a graph shows no single ops. The file
/// appears under its name when it is complete.
/// </summary>
public sealed class Trace : IDisposable
{
    private const int HostTrack = 1, CardTrack = 2, PendingBeforeFlush = 2048;

    private readonly string _path;
    private readonly StreamWriter _writer;
    private readonly Device _device;
    private readonly List<Pending> _pending = [];
    private readonly Stack<CudaEvent> _events = [];
    private readonly CudaEvent? _base;
    private readonly long _start = Stopwatch.GetTimestamp();
    private bool _isFirst = true;

    private Trace(string path, Device device)
    {
        _path = path;
        _device = device;
        try
        {
            _writer = new StreamWriter(path + ".partial", append: false, new UTF8Encoding(false));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"--trace {path}: the file cannot be written ({error.Message.TrimEnd('.')}).", error);
        }
        _writer.Write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
        Name(HostTrack, "host");
        if (device is not CudaDevice card) return;
        Name(CardTrack, card.Properties.Name);
        card.Records = false;
        _base = new CudaEvent(card);
        _base.Record();
    }

    /// <summary>The trace that runs, if one does.</summary>
    public static Trace? Current { get; private set; }

    /// <summary>Begins a trace of a device's ops.</summary>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public static Trace Start(string path, Device device) => Current = new Trace(path, device);

    /// <summary>Writes what is left and closes the file. A device that is disposed of ends its trace so.</summary>
    public void Dispose()
    {
        if (Current != this) return;
        Current = null;
        if (_device is CudaDevice { IsLost: false }) Flush();
        foreach (CudaEvent mark in _events) mark.Dispose();
        _base?.Dispose();
        _writer.Write("\n]}\n");
        _writer.Dispose();
        File.Move(_path + ".partial", _path, overwrite: true);
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
        Write(op, shapes, HostTrack, Microseconds(begin - _start), Microseconds(end - begin));
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
            Write(op, shapes, CardTrack, 1000.0 * first.MillisecondsSince(_base!), 1000.0 * last.MillisecondsSince(first));
            _events.Push(first);
            _events.Push(last);
        }
        _pending.Clear();
    }

    private void Write(string op, string shapes, int track, double start, double duration)
    {
        Separate();
        _writer.Write(string.Create(CultureInfo.InvariantCulture,
            $"{{\"name\":\"{op}\",\"cat\":\"op\",\"ph\":\"X\",\"pid\":1,\"tid\":{track},\"ts\":{start:0.###},\"dur\":{duration:0.###},\"args\":{{\"tensors\":\"{shapes}\"}}}}"));
    }

    private void Name(int track, string name)
    {
        Separate();
        _writer.Write($"{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{track},\"args\":{{\"name\":\"{JsonEncodedText.Encode(name)}\"}}}}");
    }

    private void Separate()
    {
        _writer.Write(_isFirst ? "\n" : ",\n");
        _isFirst = false;
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
