using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    /// <summary>Blocks that share the rows of a norm's backward: about two a multiprocessor of a large card, and the same on all, as are the bits.</summary>
    private const int NormBlocks = 256;

    private protected override void RmsNormCore(Tensor x, Tensor branch, Tensor weight, float epsilon, Tensor sum, Tensor y, Tensor stats) =>
        Load("rms_norm", "rms_norm", x.DType).Launch(
            x.Shape.Rows, NormThreads(x.Shape.Last), 0, x, branch, weight, epsilon, sum, y, stats, x.Shape.Last);

    private protected override void RmsNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last, blocks = Math.Min(rows, NormBlocks);
        if (rows == 0) return;
        Tensor partials = device.Scratch((blocks, columns));
        Load("rms_norm", "rms_norm_backward", x.DType).Launch(
            blocks, NormThreads(columns), columns * sizeof(float), dy, x, weight, stats, dx, partials, rows, columns);
        AddColumnSums(partials, dWeight);
    }

    /// <summary>Threads of a block that takes a row, eight columns each: whole warps.</summary>
    private static int NormThreads(int columns) => Math.Clamp(32 * Blocks(columns, 8 * 32), 32, 1024);

    /// <summary>to[c] += Σᵣ partials[r, c], r in a fixed order: the second stage of a parameter's gradient.</summary>
    private void AddColumnSums(Tensor partials, Tensor to) =>
        Load("add_column_sums", "add_column_sums").Launch(
            Blocks(partials.Shape.Last, 32), 1024, 0, partials, to, partials.Shape.Rows, partials.Shape.Last);
}
