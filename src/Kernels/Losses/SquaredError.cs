using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>What is compared with a target.</summary>
public enum Link
{
    /// <summary>The output itself.</summary>
    Identity,

    /// <summary>σ(output): a Brier loss on a probability, the paper's squared-error ablation.</summary>
    Sigmoid,
}

public abstract partial class Ops
{
    /// <summary>losses[n] = w·(link(x) − target)², and its gradient.</summary>
    /// <param name="outputs">[N].</param>
    /// <param name="targets">[N].</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N], written.</param>
    /// <param name="dOutputs">[N], written; may be outputs; None for the loss alone.</param>
    public void SquaredError(Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs)
    {
        int rows = (int)outputs.Count;
        Require(outputs, rows);
        Require(targets, rows);
        Require(weights, rows);
        Require(losses, rows);
        if (!dOutputs.IsNone) Require(dOutputs, rows);
        SquaredErrorCore(outputs, targets, weights, link, losses, dOutputs);
    }

    private protected abstract void SquaredErrorCore(Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs);
}

public sealed unsafe partial class CpuOps
{
    private protected override void SquaredErrorCore(Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs) =>
        _workers.For((int)outputs.Count, Grain(20),
            new SquaredErrorWork(outputs.Floats(), targets.Floats(), weights.Floats(), link, losses.Floats(), dOutputs.Floats()));

    private readonly struct SquaredErrorWork(float* outputs, float* targets, float* weights, Link link, float* losses, float* dOutputs) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float value = link == Link.Sigmoid ? 1 / (1 + MathF.Exp(-outputs[n])) : outputs[n];
                float slope = link == Link.Sigmoid ? value * (1 - value) : 1;
                float difference = value - targets[n];
                losses[n] = weights[n] * difference * difference;
                if (dOutputs != null) dOutputs[n] = weights[n] * 2 * difference * slope;
            }
        }
    }
}
