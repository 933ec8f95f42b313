using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A guide that learns λ-returns of its own values (TD(λ), γ = 1; VAS, Han et al. 2024) in place of the reward: with the reward
/// at the end alone, G of the last token is R, and before it G_t = (1 − λ)·V_(t+1) + λ·G_(t+1). The values are those of the
/// guide as it is, so a forward pass goes before the step.
/// </summary>
/// <param name="lambda">1 is the reward itself, 0 the next value.</param>
/// <param name="family">Of the guide.</param>
public sealed class LambdaReturnLearner(
    float lambda, ReturnFamily family, ValueModel guide, Method method, IBatchSource source, OptimizerSettings settings, BatchSize size, RolloutRows? heldOut)
    : ModelLearner(guide, method, source, settings, size, heldOut)
{
    private float[] _outputs = [];

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        if (_outputs.Length == 0) _outputs = new float[Outputs.Count];
        Upload();
        Forward();
        Ops.Device.Download<float>(Outputs, _outputs);
        for (int row = 0; row < Batch.Rows; row++)
        {
            (int start, int count) = Batch.LossesOf(row);
            for (int m = start + count - 2; m >= start; m--)
            {
                float next = family.Mean(_outputs.AsSpan((m + 1) * family.Atoms, family.Atoms));
                Batch.LossReturns[m] = (1 - lambda) * next + lambda * Batch.LossReturns[m + 1];
            }
        }
        return tokens;
    }
}
