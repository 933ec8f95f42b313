namespace QSharp.Engine;

/// <summary>
/// A step as a CUDA graph: one launch for all of its kernels. What differs between runs must lie in device memory (token ids,
/// positions, learning rate); sizes, addresses and plain numbers are those of the recording.
/// </summary>
internal sealed class CudaGraph(CudaDevice device, Action step) : RecordedStep
{
    private bool _isWarm;
    private nint _executable;

    public override void Run()
    {
        if (!_isWarm || !device.Records)
        {
            step();
            _isWarm = true;
            return;
        }
        device.MakeCurrent();
        if (_executable == 0) Capture();
        device.Check(CuDriver.cuGraphLaunch(_executable, device.Stream), nameof(CuDriver.cuGraphLaunch));
    }

    public override void Dispose()
    {
        if (_executable == 0) return;
        nint executable = _executable;
        _executable = 0;
        device.Release(() => CuDriver.cuGraphExecDestroy(executable));
    }

    private void Capture()
    {
        device.Check(CuDriver.cuStreamBeginCapture_v2(device.Stream, CuDriver.CaptureThreadLocal), nameof(CuDriver.cuStreamBeginCapture_v2));
        device.IsCapturing = true;
        try
        {
            step();
        }
        catch
        {
            device.Note(End(out nint rest));   // the stream must not stay in capture
            if (rest != 0) device.Release(() => CuDriver.cuGraphDestroy(rest));
            throw;
        }
        device.Check(End(out nint graph), nameof(CuDriver.cuStreamEndCapture));
        int result = CuDriver.cuGraphInstantiateWithFlags(out nint executable, graph, 0);
        device.Release(() => CuDriver.cuGraphDestroy(graph));
        device.Check(result, nameof(CuDriver.cuGraphInstantiateWithFlags));
        _executable = executable;
    }

    private int End(out nint graph)
    {
        device.IsCapturing = false;
        return CuDriver.cuStreamEndCapture(device.Stream, out graph);
    }
}
