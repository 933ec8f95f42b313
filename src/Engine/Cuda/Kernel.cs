using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>Blocks of a grid, or threads of a block.</summary>
public readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    public static implicit operator Dim3(int x) => new(x);

    public static implicit operator Dim3((int X, int Y) size) => new(size.X, size.Y);

    public static implicit operator Dim3((int X, int Y, int Z) size) => new(size.X, size.Y, size.Z);

    public override string ToString() => $"({X}, {Y}, {Z})";
}

/// <summary>One argument of a launch: up to 8 bytes and how many of them count.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly struct KernelArg
{
    private KernelArg(ulong bits, int size)
    {
        Bits = bits;
        Size = size;
    }

    /// <summary>The first field, so that the address of an argument is that of its value.</summary>
    internal ulong Bits { get; }

    internal int Size { get; }

    /// <summary>The device address of a tensor; null for None.</summary>
    public static implicit operator KernelArg(Tensor tensor) => new((ulong)tensor.Address, 8);

    public static implicit operator KernelArg(int value) => new((uint)value, 4);

    public static implicit operator KernelArg(uint value) => new(value, 4);

    public static implicit operator KernelArg(long value) => new((ulong)value, 8);

    public static implicit operator KernelArg(ulong value) => new(value, 8);

    public static implicit operator KernelArg(float value) => new(BitConverter.SingleToUInt32Bits(value), 4);
}

/// <summary>A compiled and loaded CUDA kernel.</summary>
public sealed unsafe class Kernel
{
    private const int SharedUnasked = 48 << 10;   // of a block, static and dynamic together

    private readonly CudaDevice _device;
    private readonly nint _function;
    private readonly int[]? _parameterBytes;   // null where the driver cannot tell
    private int _dynamicLimit;

    internal Kernel(CudaDevice device, string name, nint function)
    {
        _device = device;
        _function = function;
        Name = name;
        _parameterBytes = ParameterBytes();
        _dynamicLimit = SharedUnasked - SharedBytes;
    }

    /// <summary>The kernel's symbol, its variant included: rms_norm_bf16.</summary>
    public string Name { get; }

    /// <summary>Registers of a thread.</summary>
    public int Registers => Attribute(CuDriver.FunctionRegisters);

    /// <summary>Bytes of static shared memory of a block.</summary>
    public int SharedBytes => Attribute(CuDriver.FunctionSharedBytes);

    /// <summary>Blocks that a multiprocessor can hold at a time.</summary>
    public int BlocksPerMultiprocessor(int threads, int sharedBytes)
    {
        _device.MakeCurrent();
        _device.Check(
            CuDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor(out int blocks, _function, threads, (nuint)sharedBytes),
            nameof(CuDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor), $"for kernel {Name}");
        return blocks;
    }

    /// <summary>
    /// Puts the kernel on the device's stream. A grid without blocks is no launch. Arguments are copied, so nothing needs to
    /// live on; nothing is allocated and nothing waited for, unless QSHARP_SYNC=1 is set.
    /// </summary>
    /// <param name="sharedBytes">Dynamic shared memory; above 48 KiB together with the kernel's static one it is asked of the driver at first use.</param>
    /// <exception cref="ArgumentException">The arguments are not those of the kernel, in number or size.</exception>
    /// <exception cref="CudaException">The driver refused the launch.</exception>
    public void Launch(Dim3 grid, Dim3 block, int sharedBytes, params ReadOnlySpan<KernelArg> arguments)
    {
        if (_parameterBytes is not null && !Matches(arguments)) RejectArguments(arguments);
        if (grid.X == 0 || grid.Y == 0 || grid.Z == 0) return;
        _device.MakeCurrent();
        if (sharedBytes > _dynamicLimit)
        {
            int asked = CuDriver.cuFuncSetAttribute(_function, CuDriver.FunctionMaxDynamicShared, sharedBytes);
            if (asked != 0) throw _device.Lost(Cuda.Failure(asked, Where(grid, block, sharedBytes), nameof(CuDriver.cuFuncSetAttribute)));
            _dynamicLimit = sharedBytes;
        }
        void** pointers = stackalloc void*[arguments.Length];
        fixed (KernelArg* first = arguments)
        {
            for (int i = 0; i < arguments.Length; i++) pointers[i] = first + i;
            int result = CuDriver.cuLaunchKernel(
                _function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)block.X, (uint)block.Y, (uint)block.Z,
                (uint)sharedBytes, _device.Stream, pointers, null);
            if (result != 0) throw _device.Lost(Cuda.Failure(result, Where(grid, block, sharedBytes), "cuLaunchKernel"));
        }
        _device.Launches++;
        if (CudaDevice.IsSynchronous)
        {
            int result = CuDriver.cuStreamSynchronize(_device.Stream);
            if (result != 0) throw _device.Lost(Cuda.Failure(result, Where(grid, block, sharedBytes), "The run of a kernel"));
        }
    }

    private int Attribute(int attribute)
    {
        _device.MakeCurrent();
        _device.Check(CuDriver.cuFuncGetAttribute(out int value, attribute, _function), nameof(CuDriver.cuFuncGetAttribute), $"for kernel {Name}");
        return value;
    }

    private string Where(Dim3 grid, Dim3 block, int sharedBytes) =>
        $"in kernel {Name}, grid {grid}, block {block}, {sharedBytes} bytes of dynamic shared memory{StandIn.LastReport()}";

    private bool Matches(ReadOnlySpan<KernelArg> arguments)
    {
        if (arguments.Length != _parameterBytes!.Length) return false;
        for (int i = 0; i < arguments.Length; i++)
            if (arguments[i].Size != _parameterBytes[i]) return false;
        return true;
    }

    private void RejectArguments(ReadOnlySpan<KernelArg> arguments)
    {
        string given = string.Join(", ", arguments.ToArray().Select(argument => argument.Size));
        throw new ArgumentException(
            $"The kernel {Name} has parameters of ({string.Join(", ", _parameterBytes!)}) bytes, but its launcher gives ({given}).");
    }

    private int[]? ParameterBytes()
    {
        List<int> sizes = [];
        try
        {
            int result;
            while ((result = CuDriver.cuFuncGetParamInfo(_function, (nuint)sizes.Count, out _, out nuint size)) == 0) sizes.Add((int)size);
            if (result != CuDriver.InvalidValue) _device.Check(result, nameof(CuDriver.cuFuncGetParamInfo), $"for kernel {Name}");   // else: past the last
        }
        catch (EntryPointNotFoundException)
        {
            return null;   // drivers before CUDA 12.4
        }
        return sizes.Count > 0 ? [.. sizes] : null;
    }
}
