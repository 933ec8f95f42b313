using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LogSoftmaxCore(Tensor logits, float temperature, Tensor y) =>
        Load("log_softmax", "log_softmax").Launch(
            logits.Shape.Rows, RowThreads(logits.Shape.Last), 0, logits, 1 / temperature, y, logits.Shape.Last);
}
