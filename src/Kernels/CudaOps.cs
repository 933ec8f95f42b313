using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// The CUDA twin of every op: a file X.Cuda.cs says grid, block and arguments, and kernels-cu/x.cu is the kernel. Activations
/// are F32 or BF16, sums are fp32, and every reduction has a fixed order, so results repeat bit for bit.
/// </summary>
public sealed partial class CudaOps(CudaDevice device) : Ops(device)
{
    /// <summary>Threads of a block where nothing asks for another number.</summary>
    private const int Threads = 256;

    /// <summary>A kernel of a file that has no variants.</summary>
    private Kernel Load(string file, string function) => device.Kernels.Get(file, function, "");

    /// <summary>A kernel of a file that is compiled for each element type T.</summary>
    private Kernel Load(string file, string function, DType type) =>
        device.Kernels.Get(file, function, type == DType.BF16 ? "T=bf16" : "T=float");

    /// <summary>Blocks of <paramref name="size"/> that hold <paramref name="count"/> items.</summary>
    private static int Blocks(long count, int size) => checked((int)((count + size - 1) / size));
}
