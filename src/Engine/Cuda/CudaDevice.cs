using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>What a card is.</summary>
/// <param name="Architecture">Ten times the compute capability.</param>
/// <param name="SharedPerBlock">Bytes of shared memory that a block can ask for.</param>
/// <param name="DriverVersion">The CUDA version of the driver, as 12080.</param>
/// <param name="ClockHertz">The clock of the multiprocessors.</param>
/// <param name="MemoryBytesPerSecond">The memory's bandwidth, by its clock (both edges) and the width of its bus.</param>
public sealed record CudaProperties(
    string Name, int Architecture, int Multiprocessors, long MemoryBytes, int L2Bytes, int SharedPerBlock, int SharedPerMultiprocessor, int DriverVersion,
    double ClockHertz, double MemoryBytesPerSecond)
{
    /// <summary>Floating-point operations a second in fp32: an A100's multiprocessor has 64 lanes, those after it 128.</summary>
    public double FlopsPerSecond => 2.0 * (Architecture == 80 ? 64 : 128) * Multiprocessors * ClockHertz;

    /// <summary>The same of the tensor cores, BF16 into fp32, dense: the multiply-adds of a multiprocessor in a clock are those of the data sheets.</summary>
    public double TensorFlopsPerSecond => 2.0 * (Architecture switch { 80 => 1024, 90 => 2048, >= 100 and < 120 => 4096, _ => 512 }) * Multiprocessors * ClockHertz;
}

/// <summary>
/// One CUDA card: its memory, one stream on which all work is in order, the kernels, cuBLAS. Nothing waits for the card but
/// Download and Synchronize. QSHARP_SYNC=1 waits after every launch, so that a fault names its kernel, and records nothing.
/// </summary>
public sealed unsafe class CudaDevice : Device
{
    [ThreadStatic] private static CudaDevice? _current;   // not its context: a context opened later can have the same address

    private readonly int _handle;
    private readonly nint _context;
    private readonly nint _stream;
    private readonly PinnedStaging _staging;
    private readonly List<DeviceBuffer> _scratch = [];
    private Blas? _blas;
    private bool _isDisposed;

    private CudaDevice(int ordinal, KernelFolder folder)
    {
        Ordinal = ordinal;
        Cuda.Check(CuDriver.cuDeviceGet(out _handle, ordinal));
        Properties = Read(_handle);
        Cuda.Check(CuDriver.cuDevicePrimaryCtxRetain(out _context, _handle));
        try
        {
            MakeCurrent();
            Check(CuDriver.cuStreamCreate(out _stream, CuDriver.StreamNonBlocking), nameof(CuDriver.cuStreamCreate));
            _staging = new PinnedStaging(this);
            Kernels = new KernelCache(this, folder);
        }
        catch
        {
            _staging?.Dispose();
            if (_stream != 0) _ = CuDriver.cuStreamDestroy_v2(_stream);
            _ = CuDriver.cuDevicePrimaryCtxRelease_v2(_handle);
            _current = null;
            throw;
        }
    }

    /// <summary>Whether every launch is waited for.</summary>
    public static bool IsSynchronous { get; } = Environment.GetEnvironmentVariable("QSHARP_SYNC") == "1";

    public int Ordinal { get; }

    public override string Name => Ordinal == 0 ? "cuda" : $"cuda:{Ordinal}";

    public override bool IsHost => false;

    public override DType ActivationType => DType.BF16;

    public CudaProperties Properties { get; }

    public KernelCache Kernels { get; }

    /// <summary>cuBLAS, loaded at first use.</summary>
    public Blas Blas => _blas ??= new Blas(this);

    /// <summary>Bytes that the card has free, for all programs together.</summary>
    public long FreeBytes
    {
        get
        {
            MakeCurrent();
            Check(CuDriver.cuMemGetInfo_v2(out nuint free, out _), nameof(CuDriver.cuMemGetInfo_v2));
            return (long)free;
        }
    }

    internal nint Stream => _stream;

    /// <summary>
    /// Kernels, products of cuBLAS (each counted as one), copies and clears given to the stream so far; those of a recorded step
    /// when it runs plainly and when it is captured, not when it is replayed.
    /// </summary>
    public long Launches { get; internal set; }

    /// <summary>Whether recorded steps become graphs.</summary>
    internal bool Records { get; set; } = !IsSynchronous;

    /// <summary>Whether work is being recorded rather than run.</summary>
    internal bool IsCapturing { get; set; }

    /// <summary>Whether a fault on the card has ended its use in this process.</summary>
    internal bool IsLost { get; private set; }

    /// <summary>Whether there is a driver that starts and has a card. Binds nothing, so that the stand-in can still be loaded.</summary>
    public static bool IsPresent
    {
        get
        {
            nint init = Libraries.Export(Libraries.Cuda, nameof(CuDriver.cuInit)), count = Libraries.Export(Libraries.Cuda, nameof(CuDriver.cuDeviceGetCount));
            int cards = 0;
            return init != 0 && count != 0
                && ((delegate* unmanaged<uint, int>)init)(0) == 0 && ((delegate* unmanaged<int*, int>)count)(&cards) == 0 && cards > 0;
        }
    }

    /// <summary>The number of cards.</summary>
    /// <exception cref="UserException">There is no driver, or it does not start.</exception>
    public static int Count()
    {
        Start();
        Cuda.Check(CuDriver.cuDeviceGetCount(out int count));
        return count;
    }

    /// <summary>What a card is, without opening it.</summary>
    public static CudaProperties Describe(int ordinal)
    {
        Start();
        Cuda.Check(CuDriver.cuDeviceGet(out int handle, ordinal));
        return Read(handle);
    }

    /// <summary>Opens a card.</summary>
    /// <param name="kernels">The folder of the kernels; null searches for it.</param>
    /// <exception cref="UserException">There is no such card, no driver, no NVRTC, or the card is too old.</exception>
    public static CudaDevice Open(int ordinal, string? kernels = null) => Open(ordinal, KernelFolder.Find(kernels));

    /// <summary>Opens a card with the kernels of a folder.</summary>
    /// <exception cref="UserException">As above.</exception>
    public static CudaDevice Open(int ordinal, KernelFolder folder)
    {
        StandIn.LoadIfAsked(folder);
        try
        {
            int count = Count();
            if (ordinal < 0 || ordinal >= count)
                throw new UserException($"--device cuda:{ordinal}: the machine has {count} CUDA card{(count == 1 ? "" : "s")}; `qsharp devices` lists them, and --device cpu works on any machine.");
            return new CudaDevice(ordinal, folder);
        }
        catch (CudaException failure)
        {
            throw new UserException($"--device cuda:{ordinal}: the card could not be opened, as {failure.Message[..^1]}; `qsharp devices` says what was found, and --device cpu works on any machine.", failure);
        }
    }

    public override DeviceBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (IsCapturing) throw new InvalidOperationException("Memory would be allocated inside a recorded step.");
        MakeCurrent();
        int result = CuDriver.cuMemAlloc_v2(out nint address, (nuint)Math.Max(bytes, 1));
        if (result == CuDriver.OutOfMemory)
        {
            string free = CuDriver.cuMemGetInfo_v2(out nuint bytesFree, out _) == 0 ? $"{(long)bytesFree >> 20} MiB free" : "too little free";
            throw new UserException($"The card {Name} has {free} but {bytes >> 20} MiB more are needed (this program holds {AllocatedBytes >> 20} MiB); choose a smaller batch, model or context.");
        }
        Check(result, nameof(CuDriver.cuMemAlloc_v2));
        result = CuDriver.cuMemsetD8Async(address, 0, (nuint)Math.Max(bytes, 1), _stream);
        if (result != 0)
        {
            _ = CuDriver.cuMemFree_v2(address);
            Check(result, nameof(CuDriver.cuMemsetD8Async));
        }
        AllocatedBytes += bytes;
        Allocations++;
        return new DeviceBuffer(this, address, bytes);
    }

    public override void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
    {
        RequireMatch(source.Length, destination, Unsafe.SizeOf<T>());
        RefuseInRecording("uploaded");
        _staging.Upload(MemoryMarshal.AsBytes(source), destination.Address);
    }

    public override void Download<T>(Tensor source, Span<T> destination)
    {
        RequireMatch(destination.Length, source, Unsafe.SizeOf<T>());
        RefuseInRecording("downloaded");
        _staging.Download(source.Address, MemoryMarshal.AsBytes(destination));
    }

    /// <summary>
    /// Working memory for one op: its values last until the next op. It grows at need, which must have happened before a step
    /// is recorded; outgrown memory is kept, as recorded steps use it.
    /// </summary>
    /// <param name="shape">F32 elements.</param>
    public Tensor Scratch(Shape shape)
    {
        long bytes = shape.Count * sizeof(float);
        if (_scratch.Count == 0 || _scratch[^1].Bytes < bytes) _scratch.Add(Allocate(Math.Max(bytes, 1 << 20)));
        return new Tensor(_scratch[^1], 0, DType.F32, shape);
    }

    /// <summary>Sets all bytes of a tensor to 0, in the order of the stream.</summary>
    public void Clear(Tensor tensor)
    {
        MakeCurrent();
        if (tensor.Count == 0) return;
        Check(CuDriver.cuMemsetD8Async(tensor.Address, 0, (nuint)tensor.Bytes, _stream), nameof(CuDriver.cuMemsetD8Async));
        Launches++;
    }

    /// <summary>Copies bytes on the card, in the order of the stream.</summary>
    public void CopyBytes(Tensor source, Tensor destination)
    {
        if (source.Bytes != destination.Bytes) throw new ArgumentException($"{source} and {destination} differ in bytes.");
        MakeCurrent();
        if (source.Bytes == 0) return;
        Check(CuDriver.cuMemcpyDtoDAsync_v2(destination.Address, source.Address, (nuint)source.Bytes, _stream), nameof(CuDriver.cuMemcpyDtoDAsync_v2));
        Launches++;
    }

    /// <summary>Bytes of working memory, part of <see cref="Device.AllocatedBytes"/>: scratch, and cuBLAS's once it is used.</summary>
    public long WorkingBytes => _scratch.Sum(buffer => buffer.Bytes) + (_blas is null ? 0 : Blas.WorkspaceBytes);

    /// <summary>The first run is plain, so that kernels are compiled and loaded; the second is captured as a graph, and replayed from then on.</summary>
    public override RecordedStep Record(Action step) => new CudaGraph(this, step);

    public override void Synchronize()
    {
        MakeCurrent();
        Check(CuDriver.cuStreamSynchronize(_stream), nameof(CuDriver.cuStreamSynchronize));
    }

    internal override void Free(DeviceBuffer buffer)
    {
        AllocatedBytes -= buffer.Bytes;
        if (IsLost || _isDisposed) return;   // memory of a lost or closed context is gone with it
        Release(() => CuDriver.cuMemFree_v2(buffer.Address));
    }

    internal void MakeCurrent()
    {
        if (ReferenceEquals(_current, this)) return;
        Check(CuDriver.cuCtxSetCurrent(_context), nameof(CuDriver.cuCtxSetCurrent));
        _current = this;
    }

    /// <summary>Throws unless a call succeeded, and notes when the card is lost.</summary>
    internal void Check(int result, string function, string detail = "")
    {
        if (result == 0) return;
        string report = StandIn.LastReport();
        throw Lost(Cuda.Failure(result, detail.Length > 0 ? detail + report : report.TrimStart(';', ' '), function));
    }

    /// <summary>
    /// Gives a resource back. A failure is not thrown: it would hide the one that led here, and is most often that of a kernel
    /// before. A lost card's resources are gone with its context.
    /// </summary>
    internal void Release(Func<int> call)
    {
        if (IsLost || _isDisposed) return;
        if (!ReferenceEquals(_current, this))
        {
            Note(CuDriver.cuCtxSetCurrent(_context));
            if (IsLost) return;
            _current = this;
        }
        Note(call());
    }

    /// <summary>Remembers a fault of the card that is not thrown.</summary>
    internal void Note(int result) => IsLost |= CudaException.Ends(result);

    internal CudaException Lost(CudaException failure)
    {
        IsLost |= failure.IsSticky;
        return failure;
    }

    protected override void Dispose(bool disposing)
    {
        if (_isDisposed) return;
        _blas?.Dispose();
        foreach (DeviceBuffer buffer in _scratch) buffer.Dispose();
        Kernels.Unload();
        _staging.Dispose();
        Release(() => CuDriver.cuStreamDestroy_v2(_stream));
        _isDisposed = true;
        _current = null;
        _ = CuDriver.cuDevicePrimaryCtxRelease_v2(_handle);
    }

    private void RefuseInRecording(string what)
    {
        if (IsCapturing) throw new InvalidOperationException($"Values would be {what} inside a recorded step.");
    }

    private static void Start()
    {
        Libraries.Require(Libraries.Cuda);
        int result = CuDriver.cuInit(0);
        if (result == 0) return;
        string hint = result == 100 ? "there is no CUDA card" : "the driver did not start; it may be older than the card, or not match its kernel module";
        throw new UserException($"--device cuda: {hint}: cuInit failed with {Cuda.Describe(result)}; `qsharp devices` says what was found, and --device cpu works on any machine.");
    }

    private static CudaProperties Read(int handle)
    {
        byte* name = stackalloc byte[256];
        Cuda.Check(CuDriver.cuDeviceGetName(name, 256, handle));
        Cuda.Check(CuDriver.cuDeviceTotalMem_v2(out nuint memory, handle));
        Cuda.Check(CuDriver.cuDriverGetVersion(out int driver));
        return new CudaProperties(
            Marshal.PtrToStringUTF8((nint)name) ?? "", 10 * Attribute(CuDriver.DeviceMajor) + Attribute(CuDriver.DeviceMinor),
            Attribute(CuDriver.DeviceMultiprocessors), (long)memory, Attribute(CuDriver.DeviceL2Bytes),
            Attribute(CuDriver.DeviceSharedPerBlock), Attribute(CuDriver.DeviceSharedPerMultiprocessor), driver,
            1e3 * Attribute(CuDriver.DeviceClockKilohertz),
            2e3 * Attribute(CuDriver.DeviceMemoryKilohertz) * Attribute(CuDriver.DeviceMemoryBusBits) / 8);

        int Attribute(int attribute)
        {
            Cuda.Check(CuDriver.cuDeviceGetAttribute(out int value, attribute, handle));
            return value;
        }
    }
}
