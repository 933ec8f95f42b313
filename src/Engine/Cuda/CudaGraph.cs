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
        if (device.IsLost) return;
        device.MakeCurrent();
        device.Check(CuDriver.cuGraphExecDestroy(executable), nameof(CuDriver.cuGraphExecDestroy));
    }

    private void Capture()
    {
        device.Check(CuDriver.cuStreamBeginCapture_v2(device.Stream, CuDriver.CaptureThreadLocal), nameof(CuDriver.cuStreamBeginCapture_v2));
        device.IsCapturing = true;
        nint graph;
        int ended;
        try
        {
            step();
        }
        finally
        {
            device.IsCapturing = false;
            ended = CuDriver.cuStreamEndCapture(device.Stream, out graph);   // also after a failure: the stream must not stay in capture
        }
        device.Check(ended, nameof(CuDriver.cuStreamEndCapture));
        int result = CuDriver.cuGraphInstantiateWithFlags(out nint executable, graph, 0);
        int destroyed = CuDriver.cuGraphDestroy(graph);
        device.Check(result, nameof(CuDriver.cuGraphInstantiateWithFlags));
        _executable = executable;
        device.Check(destroyed, nameof(CuDriver.cuGraphDestroy));
    }
}
