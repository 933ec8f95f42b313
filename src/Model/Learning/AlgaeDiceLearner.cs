using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A policy that learns by AlgaeDICE (<see cref="DiceObjective"/>) from responses that π_ref gave. Each step ν takes one first, at a
/// faster rate, since its best value has to follow the policy; what it then is gives the policy's own gradient, which climbs
/// c_{t−1} π(y|x_t)(ν(x_t, y) − m_t) in the logit of each y.
/// </summary>
public sealed class AlgaeDiceLearner : ModelLearner
{
    private readonly NuLearner _nu;
    private readonly Trainer _trainer;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _values, _means, _chosen, _logSumExp;

    /// <param name="policy">Starts from π_ref's weights; not disposed with the learner.</param>
    /// <param name="nu">For this policy and from the same source; disposed with the learner.</param>
    /// <param name="rows">Of a batch.</param>
    public AlgaeDiceLearner(
        LanguageModel policy, NuLearner nu, IBatchSource source, OptimizerSettings settings, int rows, long chunkBytes = ChunkBytes)
        : base(policy, null, source, settings, rows, chunkBytes: chunkBytes, vocabulary: nu.Outputs.Shape.Last)
    {
        _nu = nu;
        _trainer = new Trainer(nu);
        int chunk = Outputs.Shape.D0;
        try
        {
            ((_values, _means, _chosen, _logSumExp), _memory) = Arena.Build(
                Ops.Device, arena => (arena.Take(Outputs.Shape), arena.Take(chunk), arena.Take(chunk), arena.Take(chunk)));
        }
        catch
        {
            _trainer.Dispose();
            base.Dispose();
            throw;
        }
    }

    /// <summary>
    /// How fast the policy and ν go: ν at the larger rate, the policy only once ν has learned something, and both ever slower, since a
    /// saddle point is circled at constant rates.
    /// </summary>
    /// <param name="settings">Of the policy.</param>
    /// <param name="nuRate">Largest learning rate of ν; 0: ten times the policy's.</param>
    public static (OptimizerSettings Policy, OptimizerSettings Nu) Paces(OptimizerSettings settings, float nuRate)
    {
        LearningRate rate = settings.Rate with { FinalShare = 0 };
        return (
            settings with { Rate = rate with { Warmup = Math.Max(rate.Warmup, rate.Steps / 5) } },
            settings with { Rate = rate with { Peak = nuRate > 0 ? nuRate : 10 * rate.Peak } });
    }

    public override Trainer? Companion => _trainer;

    /// <summary>−L, which falls as the policy gains.</summary>
    public override double? BatchLoss => -_nu.BatchLoss;

    public override IReadOnlyList<(string Name, double Value)> Figures => [("weighed_reward", _nu.WeighedReward)];

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        _trainer.FillBatch();
        _trainer.RunStep();
        _nu.Weigh();
        for (int m = 0; m < Batch.LossCapacity; m++) Batch.LossReturns[m] = -_nu.Batch.LossReturns[m];
        return tokens;
    }

    public override void Dispose()
    {
        base.Dispose();
        _memory.Dispose();
        _trainer.Dispose();
    }

    private protected override void LossAndGradient(int first, LossTargets targets, Tensor outputs, Tensor losses)
    {
        int count = outputs.Shape.D0;
        Tensor values = _values.Range(0, count), means = _means.Range(0, count), logSumExp = _logSumExp.Range(0, count);
        _nu.Values(first, values);
        Ops.ExpectedValue(outputs, values, targets.Tokens, means, _chosen.Range(0, count), logSumExp);
        Ops.ExpectedValueBackward(targets.Returns, targets.Weights, outputs, values, targets.Tokens, means, logSumExp, outputs, Tensor.None);
        Ops.Fill(losses, 0f);   // L is the batch's, not a sum over its tokens
    }
}
