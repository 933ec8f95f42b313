using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int MostGemvRows = 8, GemvWarps = 8, GemvOutputs = 2;   // as in gemv.cu
    private const int ColumnParts = 64;

    /// <summary>
    /// Few rows are bound by reading w once, which a kernel of our own does best; more rows are cuBLAS's. Where x is F32 and w
    /// BF16, which cuBLAS does not multiply, the kernel takes any number of rows.
    /// </summary>
    private protected override void MatMulCore(Tensor x, Tensor w, Tensor bias, Tensor y, int rows)
    {
        int outputs = w.Shape.D0, inputs = w.Shape.D1;
        if (rows == 0 || outputs == 0) return;
        if (rows <= MostGemvRows || x.DType != w.DType || inputs == 0)
        {
            Gemv(x, w, bias, y, rows, outputs, inputs);
            return;
        }
        device.Blas.Multiply(x, false, w, true, y, rows, outputs, inputs, adds: false);
        if (!bias.IsNone) Load("bias", "bias_add", y.DType).Launch(Blocks(y.Count, 4 * Threads), Threads, 0, y, bias, y.Count, outputs);
    }

    private protected override void MatMulBackwardCore(Tensor dy, Tensor x, Tensor w, Tensor dx, Tensor dw, Tensor dBias, int rows)
    {
        int outputs = w.Shape.D0, inputs = w.Shape.D1;
        if (!dBias.IsNone) AddColumns(dy, dBias, rows, outputs);
        if (rows == 0 && !dw.IsNone) return;   // adds nothing
        if (dy.DType != w.DType) dy = Rounded(dy);
        if (!dx.IsNone && outputs == 0) device.Clear(dx);
        else if (!dx.IsNone && dx.Count > 0) device.Blas.Multiply(dy, false, w, false, dx, rows, inputs, outputs, adds: false);
        if (!dw.IsNone && dw.Count > 0) device.Blas.Multiply(dy, true, x, false, dw, outputs, inputs, rows, adds: true);
    }

    /// <summary>An F32 tensor as BF16, in working memory.</summary>
    private Tensor Rounded(Tensor x)
    {
        Tensor half = device.Scratch(checked((int)((x.Count + 1) / 2))) with { DType = DType.BF16, Shape = x.Shape };
        Cast(x, half);
        return half;
    }

    private void Gemv(Tensor x, Tensor w, Tensor bias, Tensor y, int rows, int outputs, int inputs)
    {
        int perBlock = rows switch { 1 => 1, 2 => 2, <= 4 => 4, _ => MostGemvRows };
        Kernel kernel = device.Kernels.Get(
            "gemv", perBlock switch { 1 => "gemv_1", 2 => "gemv_2", 4 => "gemv_4", _ => "gemv_8" },
            (x.DType, w.DType, y.DType) switch
            {
                (DType.F32, DType.F32, DType.F32) => "T=float W=float Y=float",
                (DType.F32, DType.BF16, DType.F32) => "T=float W=bf16 Y=float",
                (DType.BF16, DType.BF16, DType.BF16) => "T=bf16 W=bf16 Y=bf16",
                (DType.BF16, DType.BF16, DType.F32) => "T=bf16 W=bf16 Y=float",
                _ => throw new ArgumentException($"MatMul: no kernel multiplies x {x} by w {w} into {y}."),
            });
        // Enough warps to fill the card: one output is shared by more warps where there are few.
        int splits = 1;
        while (splits < GemvWarps && (long)outputs / GemvOutputs * splits < 16L * device.Properties.Multiprocessors && inputs >= 512 * splits) splits *= 2;
        bool vectors = inputs % 8 == 0 && x.Address % 16 == 0 && w.Address % 16 == 0;
        kernel.Launch(
            (Blocks(outputs, GemvWarps / splits * GemvOutputs), Blocks(rows, perBlock)), GemvWarps * 32, 0,
            x, w, bias, y, rows, outputs, inputs, splits, vectors ? 1 : 0);
    }

    /// <summary>dBias += the sum of dy's rows.</summary>
    private void AddColumns(Tensor dy, Tensor dBias, int rows, int outputs)
    {
        int rowsPerPart = Math.Max(32, Blocks(rows, ColumnParts)), parts = Blocks(rows, rowsPerPart);
        if (parts == 0 || outputs == 0) return;
        Tensor partial = device.Scratch((parts, outputs));
        Load("bias", "column_sum", dy.DType).Launch((Blocks(outputs, 32), parts), Threads, 0, dy, partial, rows, outputs, rowsPerPart);
        AddColumnSums(partial, dBias);
    }
}
