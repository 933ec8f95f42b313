using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// ν of a <see cref="DiceObjective"/> in training, for the policy as it is. Before each step the host learns of every token its ν
/// and what the policy can expect before it, and from these the ratios of visits c; the recorded step is the gradient
/// c_{t−1} π(y|x_t) − c_t 1[y = y_t], c_0 = 1: what flows to a token less what the data has there.
/// </summary>
public sealed class NuLearner : ModelLearner
{
    private readonly LanguageModel _policy;
    private readonly NuModel _nu;
    private readonly DiceObjective _objective;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _policyHidden, _hidden, _logits, _means, _chosen, _logSumExp;
    private readonly float[] _hostMeans, _hostChosen, _rewards;
    private double _lagrangian = double.NaN;

    /// <param name="policy">Of ν's shape; not disposed with the learner.</param>
    /// <param name="nu">Disposed with the learner.</param>
    /// <param name="source">Whole responses of π_ref, one a row.</param>
    /// <param name="rows">Of a batch.</param>
    /// <param name="judged">Responses whose ratios are asked for (<see cref="Judge"/>), or null.</param>
    public NuLearner(
        LanguageModel policy, NuModel nu, DiceObjective objective, IBatchSource source, OptimizerSettings settings, int rows, RolloutRows? judged = null,
        long chunkBytes = ChunkBytes)
        : base(nu, null, source, settings, rows, judged, chunkBytes)
    {
        (_policy, _nu, _objective) = (policy, nu, objective);
        int losses = Batch.LossCapacity, width = nu.Config.Width;
        DType type = nu.ActivationType;
        try
        {
            ((_policyHidden, _hidden, _logits, _means, _chosen, _logSumExp), _memory) = Arena.Build(Ops.Device, arena => (
                arena.Take((losses, width), type), arena.Take((losses, width), type), arena.Take(Outputs.Shape, policy.Head.TrainingOutputs(type)),
                arena.Take(losses), arena.Take(losses), arena.Take(losses)));
        }
        catch
        {
            base.Dispose();
            throw;
        }
        (_hostMeans, _hostChosen, Ratios, _rewards) = (new float[losses], new float[losses], new float[losses], new float[rows]);
    }

    /// <summary>[M]: c of each token of the batch.</summary>
    public float[] Ratios { get; }

    /// <summary>Mean of c·R at the responses' last tokens: the reward that the policy can expect, if the ratios are right.</summary>
    public double WeighedReward { get; private set; }

    /// <summary>L of the batch.</summary>
    public override double? BatchLoss => _lagrangian;

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        ReadPolicy();
        Weigh();
        return tokens;
    }

    /// <summary>Fills the batch with some of the judged responses, and <see cref="Ratios"/>.</summary>
    public void Judge(int index)
    {
        FillHeldOut(index);
        ReadPolicy();
        Weigh();
    }

    /// <summary>Ratios of the batch for ν as it is, and with them the gradients over m and ν of each token, as the batch's returns and weights.</summary>
    public void Weigh()
    {
        Read(_nu, _hidden);
        for (int first = 0, count; (count = ChunkAt(first)) > 0; first += count)
        {
            Tensor values = Outputs.Range(0, count);
            Values(first, values);
            Expect(first, PolicyLogits(first, count), values);
        }
        Ops.Device.Download<float>(_means, _hostMeans);
        Ops.Device.Download<float>(_chosen, _hostChosen);
        (_lagrangian, WeighedReward) = (0, 0);
        for (int row = 0; row < Batch.Rows; row++)
        {
            (int start, int count) = Batch.LossesOf(row);
            if (count == 0) continue;
            Span<float> ratios = Ratios.AsSpan(start, count);
            _lagrangian += _objective.Lagrangian(_rewards[row], _hostMeans.AsSpan(start, count), _hostChosen.AsSpan(start, count), ratios) / Batch.Rows;
            WeighedReward += ratios[^1] * _rewards[row] / Batch.Rows;
            for (int t = 0; t < count; t++)
            {
                Batch.LossReturns[start + t] = (t == 0 ? 1 : ratios[t - 1]) / Batch.Rows;
                Batch.LossWeights[start + t] = -ratios[t] / Batch.Rows;
            }
        }
    }

    /// <summary>ν of every token at some losses of the batch, as it was when these were weighed last.</summary>
    /// <param name="values">[count, V].</param>
    public void Values(int first, Tensor values)
    {
        int count = values.Shape.D0;
        _nu.Head.Forward(_hidden.Range(first, count), Batch.Targets.Tokens.Range(first, count), values);
    }

    public override void Dispose()
    {
        base.Dispose();
        _memory.Dispose();
        _nu.Dispose();
    }

    private protected override void LossAndGradient(int first, LossTargets targets, Tensor outputs, Tensor losses)
    {
        int count = outputs.Shape.D0;
        Tensor logits = PolicyLogits(first, count);
        Expect(first, logits, outputs);
        Ops.ExpectedValueBackward(
            targets.Returns, targets.Weights, logits, outputs, targets.Tokens, _means.Range(first, count), _logSumExp.Range(first, count), Tensor.None, outputs);
        Ops.Fill(losses, 0f);   // L is the batch's, not a sum over its tokens
    }

    private void ReadPolicy()
    {
        for (int row = 0; row < Batch.Rows; row++) _rewards[row] = Batch.LossesOf(row) is (var start, > 0) ? Batch.LossReturns[start] : 0;
        Upload();
        Read(_policy, _policyHidden);
    }

    private Tensor PolicyLogits(int first, int count)
    {
        Tensor logits = _logits.Range(0, count);
        _policy.Head.Forward(_policyHidden.Range(first, count), Batch.Targets.Tokens.Range(first, count), logits);
        return logits;
    }

    private void Expect(int first, Tensor logits, Tensor values)
    {
        int count = values.Shape.D0;
        Ops.ExpectedValue(
            logits, values, Batch.Targets.Tokens.Range(first, count), _means.Range(first, count), _chosen.Range(first, count), _logSumExp.Range(first, count));
    }
}
