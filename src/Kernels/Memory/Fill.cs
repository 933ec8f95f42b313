using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>Sets every element to one value.</summary>
    /// <param name="x">F32, any shape; or activations in BF16, for the value 0 alone.</param>
    public void Fill(Tensor x, float value)
    {
        DType type = TypeOf(x);
        Require(x, checked((int)x.Count), type);
        Require(type == DType.F32 || value == 0, "BF16 is filled with zeros only.");
        FillCore(x, BitConverter.SingleToInt32Bits(value));
    }

    /// <summary>Sets every element to one value.</summary>
    /// <param name="x">I32, any shape.</param>
    public void Fill(Tensor x, int value)
    {
        Require(x, checked((int)x.Count), DType.I32);
        FillCore(x, value);
    }

    /// <summary>Both types have four bytes, so one core writes the bits of either.</summary>
    private protected abstract void FillCore(Tensor x, int bits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void FillCore(Tensor x, int bits) =>
        _workers.For(Items(x.Count), 16, new FillWork(x.Ints(), bits, x.Count));

    private readonly struct FillWork(int* x, int bits, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * ElementsPerItem, stop = Math.Min((long)end * ElementsPerItem, count);
            new Span<int>(x + first, (int)(stop - first)).Fill(bits);
        }
    }
}
