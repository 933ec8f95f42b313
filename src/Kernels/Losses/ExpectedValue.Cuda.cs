using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void ExpectedValueCore(Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor chosen, Tensor logSumExp)
    {
        int columns = logits.Shape.Last;
        Load("expected_value", "expected_value", logits.DType).Launch(
            (int)tokens.Count, RowThreads(columns), 0, logits, values, tokens, means, chosen, logSumExp, columns);
    }

    private protected override void ExpectedValueBackwardCore(
        Tensor dMeans, Tensor dChosen, Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor logSumExp, Tensor dLogits, Tensor dValues)
    {
        int columns = logits.Shape.Last;
        Load("expected_value", "expected_value_backward", logits.DType).Launch(
            (int)tokens.Count, RowThreads(columns), 0, dMeans, dChosen, logits, values, tokens, means, logSumExp, dLogits, dValues, columns);
    }
}
