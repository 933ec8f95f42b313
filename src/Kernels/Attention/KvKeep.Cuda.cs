using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void KvKeepCore(Tensor keys, Tensor values, Tensor lengths, Tensor chosen) =>
        Load("kv_keep", "kv_keep", keys.DType).Launch(
            keys.Shape.D0, CopyThreads(keys.Shape.D2, keys.DType), 0, keys, values, lengths, chosen, keys.Shape.D1, keys.Shape.D2);
}
