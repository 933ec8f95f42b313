using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>What stands between an output and the value that is compared with the target.</summary>
public enum Link
{
    /// <summary>The output itself.</summary>
    Identity,

    /// <summary>σ(output): the squared error is then a Brier score.</summary>
    Sigmoid,
}

public abstract partial class Ops
{
    /// <summary>
    /// losses[n] = w · (link(x) − t)², and its gradient dOutputs = 2w · (link(x) − t) · link′(x). With the sigmoid this is
    /// the squared-error ablation of Q♯ (its Table 4), with the identity the regression of value-augmented sampling.
    /// Weight 0 gives 0 whatever the output is.
    /// </summary>
    /// <param name="outputs">[N].</param>
    /// <param name="targets">[N].</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N].</param>
    /// <param name="dOutputs">[N]; may be outputs; None for the loss alone.</param>
    public void SquaredError(Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs)
    {
        int count = (int)targets.Count;
        Require(outputs, count);
        Require(targets, count);
        Require(weights, count);
        Require(link is Link.Identity or Link.Sigmoid, $"there is no link {link}");
        Require(losses, count);
        if (!dOutputs.IsNone) Require(dOutputs, count);
        using OpSpan traced = Traced(outputs, targets, weights, losses);
        SquaredErrorCore(outputs, targets, weights, link, losses, dOutputs);
    }

    private protected abstract void SquaredErrorCore(
        Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs);
}

public sealed unsafe partial class CpuOps
{
    private protected override void SquaredErrorCore(
        Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs) =>
        _workers.For(Items(targets.Count), 8, new SquaredErrorWork(
            outputs.Floats(), targets.Floats(), weights.Floats(), link, losses.Floats(), dOutputs.Floats(), targets.Count));

    private readonly struct SquaredErrorWork(
        float* outputs, float* targets, float* weights, Link link, float* losses, float* dOutputs, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long stop = Math.Min((long)end * ElementsPerItem, count);
            for (long i = (long)begin * ElementsPerItem; i < stop; i += 8)
            {
                int left = (int)(stop - i);
                Vector256<float> value = RowMath.Load(outputs + i, left, 0), slope = Vector256<float>.One;
                if (link == Link.Sigmoid) (value, slope) = SigmoidWithSlope(value);
                Vector256<float> weight = RowMath.Load(weights + i, left, 0);
                Vector256<float> counts = ~Vector256.Equals(weight, Vector256<float>.Zero);
                Vector256<float> error = value - RowMath.Load(targets + i, left, 0);
                RowMath.Store(counts & (weight * error * error), losses + i, left);
                if (dOutputs != null) RowMath.Store(counts & (2 * weight * error * slope), dOutputs + i, left);
            }
        }

        /// <summary>σ(x) and σ(x)(1 − σ(x)), the latter from e^(−|x|) since 1 − σ has no digits left where σ is nearly 1.</summary>
        private static (Vector256<float> Value, Vector256<float> Slope) SigmoidWithSlope(Vector256<float> x)
        {
            Vector256<float> e = VectorMath.Exp(-Vector256.Abs(x));
            Vector256<float> larger = Vector256<float>.One / (Vector256<float>.One + e), smaller = e * larger;
            Vector256<float> positive = Vector256.GreaterThan(x, Vector256<float>.Zero);
            return (Vector256.ConditionalSelect(positive, larger, smaller), larger * smaller);
        }
    }
}
