using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// result = (‖x‖₂, min(1, maxNorm/‖x‖₂)): the gradient's norm and the factor that clips it (Pascanu et al. 2013).
    /// The factor is 1 for a norm of 0. For a norm that is not finite it is 0, which <see cref="AdamW"/> reads as
    /// "no gradient", so that one bad batch does not destroy the weights.
    /// </summary>
    /// <param name="x">All gradients, one after the other.</param>
    /// <param name="maxNorm">Positive; +∞ clips nothing.</param>
    /// <param name="result">[2].</param>
    public void GlobalNorm(Tensor x, float maxNorm, Tensor result)
    {
        Require(x, checked((int)x.Count));
        Require(maxNorm > 0, $"maxNorm is {maxNorm}, but must be positive.");
        Require(result, 2);
        using OpSpan traced = Traced(x, result);
        GlobalNormCore(x, maxNorm, result);
    }

    private protected abstract void GlobalNormCore(Tensor x, float maxNorm, Tensor result);
}

public sealed unsafe partial class CpuOps
{
    private const int NormBlocks = 64;   // a fixed number, so that the sum's order depends on nothing

    private protected override void GlobalNormCore(Tensor x, float maxNorm, Tensor result)
    {
        double* sums = stackalloc double[NormBlocks];   // the loop ends before this frame does
        long block = (x.Count + NormBlocks - 1) / NormBlocks;
        _workers.For(NormBlocks, Grain(block, 65536), new SquareSumWork(x.Floats(), x.Count, block, sums));
        double sum = 0;
        for (int i = 0; i < NormBlocks; i++) sum += sums[i];
        float norm = (float)Math.Sqrt(sum);
        float* to = result.Floats();
        to[0] = norm;
        to[1] = !float.IsFinite(norm) ? 0 : norm > maxNorm ? maxNorm / norm : 1;
    }

    private readonly struct SquareSumWork(float* x, long count, long block, double* sums) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
            {
                long i = Math.Min(item * block, count), stop = Math.Min(i + block, count);
                Vector256<double> sum0 = default, sum1 = default;
                for (; i + 8 <= stop; i += 8)
                {
                    (Vector256<double> low, Vector256<double> high) = Vector256.Widen(Vector256.Load(x + i));
                    sum0 = Vector256.MultiplyAddEstimate(low, low, sum0);
                    sum1 = Vector256.MultiplyAddEstimate(high, high, sum1);
                }
                double sum = Vector256.Sum(sum0 + sum1);
                for (; i < stop; i++) sum += (double)x[i] * x[i];
                sums[item] = sum;
            }
        }
    }
}
