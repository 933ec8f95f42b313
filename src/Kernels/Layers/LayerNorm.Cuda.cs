using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LayerNormCore(
        Tensor x, Tensor branch, Tensor weight, Tensor bias, float epsilon, Tensor sum, Tensor y, Tensor stats) =>
        Load("layer_norm", "layer_norm", x.DType).Launch(
            x.Shape.Rows, NormThreads(x.Shape.Last), 0, x, branch, weight, bias, epsilon, sum, y, stats, x.Shape.Last);

    private protected override void LayerNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last, blocks = Math.Min(rows, NormBlocks);
        if (rows == 0) return;
        Tensor partials = device.Scratch((2 * blocks, columns)), weights = partials.Range(0, blocks), biases = partials.Range(blocks, blocks);
        int sharedBytes = 2 * 8 * Blocks(columns, 8) * sizeof(float);   // both sums, on boundaries of eight
        Load("layer_norm", "layer_norm_backward", x.DType).Launch(
            blocks, NormThreads(columns), sharedBytes, dy, x, weight, stats, dx, weights, biases, rows, columns);
        AddColumnSums(weights, dWeight);
        AddColumnSums(biases, dBias);
    }
}
