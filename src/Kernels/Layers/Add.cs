using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = a + b: a branch joins the residual stream.</summary>
    /// <param name="a">[N, C].</param>
    /// <param name="b">[N, C].</param>
    /// <param name="y">[N, C]; may be a or b.</param>
    public void Add(Tensor a, Tensor b, Tensor y)
    {
        int count = checked((int)a.Count);
        DType type = TypeOf(a);
        Require(a, count, type);
        Require(b, count, type);
        Require(y, count, type);
        using OpSpan traced = Traced(a, b, y);
        AddCore(a, b, y);
    }

    private protected abstract void AddCore(Tensor a, Tensor b, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void AddCore(Tensor a, Tensor b, Tensor y) =>
        _workers.For(Items(a.Count), 16, new AddWork(a.Floats(), b.Floats(), y.Floats(), a.Count));

    private readonly struct AddWork(float* a, float* b, float* y, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * ElementsPerItem;
            AddRow(a + first, b + first, y + first, (int)(Math.Min((long)end * ElementsPerItem, count) - first));
        }
    }

    private static void AddRow(float* a, float* b, float* y, int count)
    {
        int i = 0;
        for (; i + 16 <= count; i += 16)
        {
            (Vector256.Load(a + i) + Vector256.Load(b + i)).Store(y + i);
            (Vector256.Load(a + i + 8) + Vector256.Load(b + i + 8)).Store(y + i + 8);
        }
        for (; i < count; i++) y[i] = a[i] + b[i];
    }
}
