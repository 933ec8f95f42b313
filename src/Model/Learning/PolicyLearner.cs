using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A policy in training. Before each step the host learns what the method asks of the batch (forward passes of the policy
/// as it is, of π_ref, of the critic) and sets each token's weight; what is recorded is one weighted cross-entropy.
/// </summary>
public sealed class PolicyLearner : ModelLearner
{
    private readonly LanguageModel _policy, _reference;
    private readonly PolicyMethod _method;
    private readonly Critic? _critic;
    private readonly PolicyBatch _seen;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _logProbs, _logSumExp;
    private double _loss;

    /// <param name="policy">Starts from π_ref's weights; not disposed with the learner.</param>
    /// <param name="rows">Of a batch.</param>
    /// <param name="critic">For a method that has one; disposed with the learner.</param>
    /// <param name="chunkBytes">As of <see cref="ModelLearner"/>.</param>
    /// <param name="vocabulary">As of <see cref="ModelLearner"/>.</param>
    public PolicyLearner(
        LanguageModel policy, LanguageModel reference, PolicyMethod method, IBatchSource source, OptimizerSettings settings, int rows,
        Critic? critic = null, long chunkBytes = ChunkBytes, int vocabulary = 0)
        : base(policy, new PretrainMethod(), source, settings, rows, chunkBytes: chunkBytes, vocabulary: vocabulary)
    {
        _policy = policy;
        _reference = reference;
        _method = method;
        _critic = critic;
        _seen = new PolicyBatch(rows, Batch.LossCapacity);
        try
        {
            ((_logProbs, _logSumExp), _memory) = Arena.Build(Ops.Device, arena => (arena.Take(Batch.LossCapacity), arena.Take(Batch.LossCapacity)));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override Trainer? Companion => _critic?.Trainer;

    public override double? BatchLoss => double.IsNaN(_loss) ? null : _loss;

    public override IReadOnlyList<(string Name, double Value)> Figures => [("reward", _seen.Rewards.Average())];

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        _seen.IsFresh = (step - 1) % StepsPerSample == 0;
        for (int row = 0; row < _seen.Rows; row++)
        {
            _seen.Losses[row] = Batch.LossesOf(row);
            _seen.Rewards[row] = Batch.LossReturns[_seen.Losses[row].Start];
        }
        if (_method.ReadsPolicy || _method.ReadsReference) Upload();
        if (_method.ReadsPolicy) LogProbs(_policy, _seen.LogPolicy);
        if (_seen.IsFresh)
        {
            _seen.LogPolicy.CopyTo(_seen.LogSampled, 0);
            if (_method.ReadsReference) LogProbs(_reference, _seen.LogReference);
            _critic?.Predict(_seen.Values);
        }
        Array.Clear(_seen.Weights);   // the last batch may have had more losses
        _loss = _method.Weigh(_seen);
        _seen.Weights.CopyTo(Batch.LossWeights);
        _critic?.Learn(_seen.Returns);
        return tokens;
    }

    public override void Dispose()
    {
        _memory?.Dispose();   // null where it was what failed
        _critic?.Dispose();
        base.Dispose();
    }

    /// <summary>ln π of the batch's tokens, in the same kernels as the step's own forward pass.</summary>
    private void LogProbs(LanguageModel model, float[] values)
    {
        Forward(model);
        for (int first = 0, count; (count = ChunkAt(first)) > 0; first += count)
            Ops.LogProbs(
                OutputsOf(model, first, count), Batch.Targets.Tokens.Range(first, count), _logProbs.Range(first, count), _logSumExp.Range(first, count));
        Ops.Device.Download<float>(_logProbs, values);
    }
}
