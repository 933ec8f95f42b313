using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Roll-outs as rows of a batch for a value model.</summary>
/// <param name="tokens">Which bear loss; all that can by default.</param>
public sealed class RolloutRows(IReadOnlyList<Rollout> rollouts, ValueSettings settings, LossTokens? tokens = null)
{
    private readonly LossTokens _tokens = tokens ?? LossTokens.All;
    private int[]? _inOrder;

    public int Count => rollouts.Count;

    /// <summary>Longest row in tokens.</summary>
    public int Time { get; } = rollouts.Select((tokens ?? LossTokens.All).End).DefaultIfEmpty(0).Max();

    /// <summary>Most loss positions of a row.</summary>
    public int LossesPerRow { get; } = rollouts.Select((tokens ?? LossTokens.All).Count).DefaultIfEmpty(0).Max();

    public void Set(TrainBatch batch, int row, int rollout, float weight)
    {
        Rollout r = rollouts[rollout];
        int bidirectional = settings.BidirectionalPrompt ? r.PromptLength : 0;
        batch.SetRow(
            row, r.Tokens.AsSpan(0, _tokens.End(r)), r.FirstLossToken, bidirectional, settings.Kind == HeadKind.V, r.Reward, weight,
            _tokens.HasPromptEnd(r) ? r.PromptLength - 1 : -1, r.Replies);
    }

    /// <summary>How many batches all rows make.</summary>
    public int Batches(BatchSize size) => Parts(InOrder, size).Count();

    /// <summary>Batch <paramref name="index"/> in order; the weights of all batches add up to 1.</summary>
    public void Fill(int index, BatchSize size, TrainBatch batch) => Fill(batch, InOrder, Parts(InOrder, size).ElementAt(index), size, 1f / Count);

    /// <summary>
    /// Some neighbours of an order as a batch, of its own shape where the number of tokens is limited.
    /// </summary>
    /// <param name="weight">Of a row.</param>
    internal void Fill(TrainBatch batch, ReadOnlyMemory<int> order, (int Start, int Count, int Time) part, BatchSize size, float weight)
    {
        if (size.Tokens > 0) batch.Reshape(part.Count, part.Time);
        for (int row = 0; row < part.Count; row++) Set(batch, row, order.Span[part.Start + row], weight);
    }

    /// <summary>Cuts an order into batches, each of as many neighbours as there is room for.</summary>
    internal IEnumerable<(int Start, int Count, int Time)> Parts(ReadOnlyMemory<int> order, BatchSize size)
    {
        for (int start = 0, count, time; start < order.Length; start += count)
        {
            time = 0;
            for (count = 0; start + count < order.Length && count < size.Rows; count++)
            {
                int longest = Math.Max(time, _tokens.End(rollouts[order.Span[start + count]]));
                if (size.Tokens > 0 && count > 0 && (long)longest * (count + 1) > size.Tokens) break;
                time = longest;
            }
            yield return (start, count, time);
        }
    }

    private int[] InOrder => _inOrder ??= [.. Enumerable.Range(0, Count)];
}

/// <summary>
/// Roll-outs in a new random order each epoch. With batches of a number of rows the last incomplete one of an epoch is filled from the
/// next; with batches of a number of tokens each takes the next roll-outs of the order while the longest of them times their number
/// stays within it, and an epoch's last one is what is left.
/// </summary>
public sealed class RolloutSource : IBatchSource
{
    private readonly RolloutRows _rows;
    private readonly EpochOrder _order;
    private readonly BatchSize _size;
    private readonly List<(int Start, int Count, int Time)> _parts = [];   // of the epoch at hand, where tokens are limited
    private long _epoch = -1;
    private int _stepsBefore;

    /// <param name="size">With a limit on tokens; the batch says how many rows where there is none.</param>
    public RolloutSource(IReadOnlyList<Rollout> rollouts, ValueSettings settings, ulong key, LossTokens? tokens = null, BatchSize size = default)
    {
        if (rollouts.Count == 0) throw new UserException("The data set holds no roll-outs to learn from; collect some first.");
        _rows = new RolloutRows(rollouts, settings, tokens);
        Rewards = [.. rollouts.Select(rollout => rollout.Reward)];
        _order = new EpochOrder(rollouts.Count, key);
        _size = size;
    }

    /// <summary>Of all roll-outs.</summary>
    public IReadOnlyCollection<float> Rewards { get; }

    public int Time => _rows.Time;

    public int LossesPerRow => _rows.LossesPerRow;

    public void Fill(int step, TrainBatch batch)
    {
        if (_size.Tokens == 0)
        {
            for (int row = 0; row < batch.Rows; row++) _rows.Set(batch, row, _order[(step - 1L) * batch.Rows + row], 1f / batch.Rows);
            return;
        }
        if (step <= _stepsBefore) (_epoch, _stepsBefore) = (-1, 0);
        if (_epoch < 0) Open(0);
        while (step > _stepsBefore + _parts.Count) Open(_epoch + 1);
        (int Start, int Count, int Time) part = _parts[step - 1 - _stepsBefore];
        _rows.Fill(batch, _order.Epoch(_epoch), part, _size, 1f / part.Count);
    }

    /// <summary>Steps of some epochs, where tokens are limited.</summary>
    public long Steps(int epochs)
    {
        long steps = 0;
        for (int epoch = 0; epoch < epochs; epoch++) steps += _rows.Parts(_order.Epoch(epoch), _size).Count();
        return steps;
    }

    private void Open(long epoch)
    {
        _stepsBefore += epoch > 0 ? _parts.Count : 0;
        _epoch = epoch;
        _parts.Clear();
        _parts.AddRange(_rows.Parts(_order.Epoch(epoch), _size));
    }
}
