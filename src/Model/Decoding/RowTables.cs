using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What the host tells the rows of a step: one tensor, so that one copy takes all of it to the device.</summary>
internal sealed class RowInputs
{
    private readonly Tensor _all;
    private readonly int[] _host;
    private readonly int _rows;

    public RowInputs(int rows, Arena arena)
    {
        _rows = rows;
        _all = arena.Take(5 * rows, DType.I32);
        _host = new int[5 * rows];
    }

    public Tensor Running => _all.Range(0, _rows);              // [R] 1 where a token was drawn that is now taken in

    public Tensor Source => _all.Range(_rows, _rows);           // [R] see CachedModel.Select

    public Tensor Positions => _all.Range(2 * _rows, _rows);    // [R] of the token to be drawn

    public Tensor Streams => _all.Range(3 * _rows, _rows);      // [R] of random numbers

    public Tensor Outside => _all.Range(4 * _rows, _rows);      // [R] 1 where the token taken in was none of the candidates

    public Span<int> HostRunning => _host.AsSpan(0, _rows);

    public Span<int> HostSource => _host.AsSpan(_rows, _rows);

    public Span<int> HostPositions => _host.AsSpan(2 * _rows, _rows);

    public Span<int> HostStreams => _host.AsSpan(3 * _rows, _rows);

    public Span<int> HostOutside => _host.AsSpan(4 * _rows, _rows);

    public void Clear() => Array.Clear(_host);

    public void Upload() => _all.Buffer!.Device.Upload<int>(_host, _all);
}

/// <summary>What a step draws, on the device and on the host; one tensor too.</summary>
internal sealed class DrawnRows
{
    private readonly Tensor _all;
    private readonly int[] _host;
    private readonly int _rows;

    public DrawnRows(int rows, Arena arena)
    {
        _rows = rows;
        _all = arena.Take(rows * (2 + SampleStatistics.Count), DType.I32);
        _host = new int[_all.Count];
    }

    public Tensor Next => _all.Range(0, _rows);                 // [R] I32

    public Tensor Chosen => _all.Range(_rows, _rows);           // [R] I32: index among the candidates, −1 for none of them

    /// <summary>[R, <see cref="SampleStatistics.Count"/>].</summary>
    public Tensor Statistics =>
        _all.Range(2 * _rows, _rows * SampleStatistics.Count) with { DType = DType.F32, Shape = (_rows, SampleStatistics.Count) };

    public Span<int> HostNext => _host.AsSpan(0, _rows);

    public Span<int> HostChosen => _host.AsSpan(_rows, _rows);

    public Span<float> HostStatistics => MemoryMarshal.Cast<int, float>(_host.AsSpan(2 * _rows));

    public void Download() => _all.Buffer!.Device.Download<int>(_all, _host);

    public void Upload() => _all.Buffer!.Device.Upload<int>(_host, _all);
}
