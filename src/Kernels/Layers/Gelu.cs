using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))), the tanh form of GELU that GPT-2 uses (Hendrycks and Gimpel 2016).</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="y">[N, C]; may be x.</param>
    public void Gelu(Tensor x, Tensor y)
    {
        Require(x, (int)x.Count, TypeOf(x));
        Require(y, (int)x.Count, TypeOf(x));
        using OpSpan traced = Traced(x, y);
        GeluCore(x, y);
    }

    /// <summary>dx = dy · gelu′(x), written.</summary>
    /// <param name="dy">[N, C].</param>
    /// <param name="x">[N, C], the input of <see cref="Gelu"/>.</param>
    /// <param name="dx">[N, C]; may be dy.</param>
    public void GeluBackward(Tensor dy, Tensor x, Tensor dx)
    {
        Require(dy, (int)x.Count, TypeOf(x));
        Require(x, (int)x.Count, TypeOf(x));
        Require(dx, (int)x.Count, TypeOf(x));
        using OpSpan traced = Traced(dy, x, dx);
        GeluBackwardCore(dy, x, dx);
    }

    private protected abstract void GeluCore(Tensor x, Tensor y);

    private protected abstract void GeluBackwardCore(Tensor dy, Tensor x, Tensor dx);
}

public sealed unsafe partial class CpuOps
{
    private const float GeluScale = 0.7978845608f;   // √(2/π)
    private const float GeluCubic = 0.044715f;
    private const int ElementsPerItem = 1024;

    private protected override void GeluCore(Tensor x, Tensor y) =>
        _workers.For(Items(x.Count), 8, new GeluWork(x.Floats(), y.Floats(), x.Count));

    private protected override void GeluBackwardCore(Tensor dy, Tensor x, Tensor dx) =>
        _workers.For(Items(x.Count), 8, new GeluBackwardWork(dy.Floats(), x.Floats(), dx.Floats(), x.Count));

    /// <summary>Elementwise ops cut their tensors into items of this many elements.</summary>
    private static int Items(long count) => (int)((count + ElementsPerItem - 1) / ElementsPerItem);

    private readonly struct GeluWork(float* x, float* y, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long i = (long)begin * ElementsPerItem, stop = Math.Min((long)end * ElementsPerItem, count);
            for (; i + 8 <= stop; i += 8) Gelu(Vector256.Load(x + i)).Store(y + i);
            for (; i < stop; i++) y[i] = Gelu(Vector256.CreateScalar(x[i]))[0];
        }

        private static Vector256<float> Gelu(Vector256<float> x) =>
            0.5f * x * (Vector256<float>.One + VectorMath.Tanh(GeluScale * (x + GeluCubic * x * x * x)));
    }

    private readonly struct GeluBackwardWork(float* dy, float* x, float* dx, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long i = (long)begin * ElementsPerItem, stop = Math.Min((long)end * ElementsPerItem, count);
            for (; i + 8 <= stop; i += 8) (Vector256.Load(dy + i) * Derivative(Vector256.Load(x + i))).Store(dx + i);
            for (; i < stop; i++) dx[i] = dy[i] * Derivative(Vector256.CreateScalar(x[i]))[0];
        }

        private static Vector256<float> Derivative(Vector256<float> x)
        {
            Vector256<float> tanh = VectorMath.Tanh(GeluScale * (x + GeluCubic * x * x * x));
            Vector256<float> inner = GeluScale * (Vector256<float>.One + 3 * GeluCubic * x * x);
            return 0.5f * (Vector256<float>.One + tanh) + 0.5f * x * (Vector256<float>.One - tanh * tanh) * inner;
        }
    }
}
