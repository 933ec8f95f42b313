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

    /// <summary>A kernel of a file that is compiled for pairs of element types: T of the activations, W of a matrix.</summary>
    private Kernel Load(string file, string function, DType type, DType matrix) =>
        device.Kernels.Get(file, function, (type == DType.BF16, matrix == DType.BF16) switch
        {
            (false, false) => "T=float W=float",
            (false, true) => "T=float W=bf16",
            (true, false) => "T=bf16 W=float",
            (true, true) => "T=bf16 W=bf16",
        });

    /// <summary>A grid for rows, x, cut into stretches of columns, y, and threads that take <paramref name="piece"/> columns each.</summary>
    private static (Dim3 Grid, int Threads) Stretches(int rows, int columns, int piece)
    {
        int pieces = Blocks(columns, piece), threads = Math.Clamp(32 * Blocks(pieces, 32), 32, Threads);
        return ((rows, Blocks(pieces, threads)), threads);
    }

    /// <summary>Blocks of <paramref name="size"/> that hold <paramref name="count"/> items.</summary>
    private static int Blocks(long count, int size) => checked((int)((count + size - 1) / size));
}
