using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Where a trainer's batches come from: batch <c>step</c> is a pure function of the step, so a run can resume anywhere.</summary>
public interface IBatchSource
{
    /// <summary>Longest row in tokens.</summary>
    int Time { get; }

    /// <summary>Most loss positions of a row.</summary>
    int LossesPerRow { get; }

    /// <param name="step">From 1.</param>
    void Fill(int step, TrainBatch batch);
}

/// <summary>Fresh problems of a task with their answers, loss on the answer's tokens only: pre-training of π_ref.</summary>
public sealed class ProblemSource(ITask task, ulong key) : IBatchSource
{
    public int Time => task.PromptLimit + task.ResponseLimit;

    public int LossesPerRow => task.ResponseLimit;

    public void Fill(int step, TrainBatch batch)
    {
        int[] tokens = new int[Time];
        for (int row = 0; row < batch.Rows; row++)
        {
            Problem problem = task.Problem(Split.Pretrain, key, (step - 1L) * batch.Rows + row);
            problem.Prompt.CopyTo(tokens, 0);
            problem.Answer.CopyTo(tokens, problem.Prompt.Length);
            int length = problem.Prompt.Length + problem.Answer.Length;
            batch.SetRow(row, tokens.AsSpan(0, length), problem.Prompt.Length, bidirectional: 0, readsAtToken: false, rowReturn: 0);
        }
    }
}

/// <summary>Roll-outs in a new random order each epoch, the last incomplete batch of an epoch filled from the next one.</summary>
public sealed class RolloutSource : IBatchSource
{
    private readonly IReadOnlyList<Rollout> _rollouts;
    private readonly ulong _key;
    private readonly ValueSettings _settings;
    private readonly int[] _order;
    private long _epoch = -1;

    public RolloutSource(IReadOnlyList<Rollout> rollouts, ValueSettings settings, ulong key)
    {
        if (rollouts.Count == 0) throw new UserException("The data set holds no roll-outs to learn from; collect some first.");
        _rollouts = rollouts;
        _settings = settings;
        _key = key;
        _order = new int[rollouts.Count];
        Time = rollouts.Max(rollout => rollout.Tokens.Length);
        LossesPerRow = rollouts.Max(rollout => rollout.Tokens.Length - rollout.FirstLossToken);
    }

    public int Time { get; }

    public int LossesPerRow { get; }

    public void Fill(int step, TrainBatch batch)
    {
        for (int row = 0; row < batch.Rows; row++)
        {
            long draw = (step - 1L) * batch.Rows + row;
            Shuffle(draw / _order.Length);
            Rollout rollout = _rollouts[_order[draw % _order.Length]];
            int bidirectional = _settings.BidirectionalPrompt ? rollout.PromptLength : 0;
            batch.SetRow(row, rollout.Tokens, rollout.FirstLossToken, bidirectional, _settings.Kind == HeadKind.V, rollout.Reward);
        }
    }

    private void Shuffle(long epoch)
    {
        if (epoch == _epoch) return;
        _epoch = epoch;
        for (int i = 0; i < _order.Length; i++) _order[i] = i;
        PhiloxStream random = new(Philox.Key(_key, (uint)epoch));
        random.Shuffle<int>(_order);
    }
}
