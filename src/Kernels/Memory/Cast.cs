using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = x in another type; BF16 is the nearest to a F32, ties to even.</summary>
    /// <param name="x">F32 or BF16, any shape.</param>
    /// <param name="y">BF16 or F32, the other one, with as many elements.</param>
    public void Cast(Tensor x, Tensor y)
    {
        int count = checked((int)x.Count);
        Require(x, count, x.DType == DType.BF16 ? DType.BF16 : DType.F32);
        Require(y, count, x.DType == DType.BF16 ? DType.F32 : DType.BF16);
        using OpSpan traced = Traced(x, y);
        CastCore(x, y);
    }

    private protected abstract void CastCore(Tensor x, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void CastCore(Tensor x, Tensor y)
    {
        if (x.DType == DType.F32) _workers.For(Items(x.Count), 16, new RoundWork(x.Floats(), (ushort*)y.Address, x.Count));
        else _workers.For(Items(x.Count), 16, new WidenWork((ushort*)x.Address, y.Floats(), x.Count));
    }

    private readonly struct RoundWork(float* x, ushort* y, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * ElementsPerItem;
            int length = (int)(Math.Min((long)end * ElementsPerItem, count) - first);
            BFloat16.Round(new ReadOnlySpan<float>(x + first, length), new Span<ushort>(y + first, length));
        }
    }

    private readonly struct WidenWork(ushort* x, float* y, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * ElementsPerItem;
            int length = (int)(Math.Min((long)end * ElementsPerItem, count) - first);
            BFloat16.Widen(new ReadOnlySpan<ushort>(x + first, length), new Span<float>(y + first, length));
        }
    }
}
