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

/// <summary>Fresh problems of a task with their answers, loss on the answer's own tokens only: pre-training of π_ref.</summary>
public sealed class ProblemSource(ITask task, ulong key) : IBatchSource
{
    public int Time => task.PromptLimit + task.ResponseLimit;

    public int LossesPerRow => task.ResponseLimit;

    public void Fill(int step, TrainBatch batch)
    {
        int[] tokens = new int[Time];
        bool[] silent = new bool[Time];
        for (int row = 0; row < batch.Rows; row++)
        {
            Problem problem = task.Problem(Split.Pretrain, key, (step - 1L) * batch.Rows + row);
            problem.Prompt.CopyTo(tokens, 0);
            problem.Answer.CopyTo(tokens, problem.Prompt.Length);
            int length = problem.Prompt.Length + problem.Answer.Length;
            problem.Replies?.CopyTo(silent, problem.Prompt.Length);
            batch.SetRow(
                row, tokens.AsSpan(0, length), problem.Prompt.Length, bidirectional: 0, readsAtToken: false, rowReturn: 0, 1f / batch.Rows,
                silent: problem.Replies is null ? [] : silent);
        }
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

    /// <summary>All items in the order of an epoch.</summary>
    public ReadOnlyMemory<int> Epoch(long epoch)
    {
        Shuffle(epoch);
        return _order;
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
