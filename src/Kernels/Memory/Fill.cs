using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>Sets every element to one value.</summary>
    /// <param name="x">Activations or F32, any shape; the value is rounded to their type.</param>
    public void Fill(Tensor x, float value)
    {
        DType type = TypeOf(x);
        Require(x, checked((int)x.Count), type);
        using OpSpan traced = Traced(x);
        FillCore(x, type == DType.BF16 ? BFloat16.Round(value) * 0x1_0001 : BitConverter.SingleToInt32Bits(value));
    }

    /// <summary>Sets every element to one value.</summary>
    /// <param name="x">I32, any shape.</param>
    public void Fill(Tensor x, int value)
    {
        Require(x, checked((int)x.Count), DType.I32);
        using OpSpan traced = Traced(x);
        FillCore(x, value);
    }

    /// <summary>Writes the bits again and again: one element of four bytes, or two equal ones of two.</summary>
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
