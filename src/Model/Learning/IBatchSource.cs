using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Where a trainer's batches come from: batch <c>step</c> is a pure function of the step (and of the weights, where they are sampled from), so a run can resume.</summary>
public interface IBatchSource
{
    /// <summary>Longest row in tokens.</summary>
    int Time { get; }

    /// <summary>Most loss positions of a row.</summary>
    int LossesPerRow { get; }

    /// <summary>Steps that learn from the same samples of the model in training; a run stops and saves between such groups only.</summary>
    int StepsPerSample => 1;

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
            batch.SetRow(row, tokens.AsSpan(0, length), problem.Prompt.Length, bidirectional: 0, readsAtToken: false, rowReturn: 0, 1f / batch.Rows);
        }
    }
}

/// <summary>Roll-outs as rows of a batch for a value model.</summary>
public sealed class RolloutRows(IReadOnlyList<Rollout> rollouts, ValueSettings settings)
{
    public int Count => rollouts.Count;

    /// <summary>Longest row in tokens.</summary>
    public int Time { get; } = rollouts.Count == 0 ? 0 : rollouts.Max(rollout => rollout.Tokens.Length);

    /// <summary>Most loss positions of a row.</summary>
    public int LossesPerRow { get; } = rollouts.Count == 0 ? 0 : rollouts.Max(rollout => rollout.Tokens.Length - rollout.FirstLossToken);

    public void Set(TrainBatch batch, int row, int rollout, float weight)
    {
        Rollout r = rollouts[rollout];
        int bidirectional = settings.BidirectionalPrompt ? r.PromptLength : 0;
        batch.SetRow(row, r.Tokens, r.FirstLossToken, bidirectional, settings.Kind == HeadKind.V, r.Reward, weight);
    }

    /// <summary>Batch <paramref name="index"/> in order; the weights of all batches add up to 1.</summary>
    public void Fill(int index, TrainBatch batch)
    {
        for (int row = 0; row < batch.Rows && index * batch.Rows + row < Count; row++) Set(batch, row, index * batch.Rows + row, 1f / Count);
    }
}

/// <summary>Roll-outs in a new random order each epoch, the last incomplete batch of an epoch filled from the next one.</summary>
public sealed class RolloutSource : IBatchSource
{
    private readonly RolloutRows _rows;
    private readonly EpochOrder _order;

    public RolloutSource(IReadOnlyList<Rollout> rollouts, ValueSettings settings, ulong key)
    {
        if (rollouts.Count == 0) throw new UserException("The data set holds no roll-outs to learn from; collect some first.");
        _rows = new RolloutRows(rollouts, settings);
        _order = new EpochOrder(rollouts.Count, key);
    }

    public int Time => _rows.Time;

    public int LossesPerRow => _rows.LossesPerRow;

    public void Fill(int step, TrainBatch batch)
    {
        for (int row = 0; row < batch.Rows; row++) _rows.Set(batch, row, _order[(step - 1L) * batch.Rows + row], 1f / batch.Rows);
    }
}

/// <summary>Draws without end from <paramref name="count"/> items, in a new random order each time through.</summary>
internal sealed class EpochOrder(int count, ulong key)
{
    private readonly int[] _order = new int[count];
    private long _epoch = -1;

    public int this[long draw]
    {
        get
        {
            Shuffle(draw / count);
            return _order[draw % count];
        }
    }

    private void Shuffle(long epoch)
    {
        if (epoch == _epoch) return;
        _epoch = epoch;
        for (int i = 0; i < _order.Length; i++) _order[i] = i;
        PhiloxStream random = new(Philox.Key(key, (uint)epoch));
        random.Shuffle<int>(_order);
    }
}
