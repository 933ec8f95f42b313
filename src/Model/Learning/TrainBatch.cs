using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What a batch's losses are about, M of them, on the device.</summary>
/// <param name="Tokens">[M] I32: the token predicted or judged.</param>
/// <param name="Returns">[M]: return-to-go of the token, for value methods.</param>
/// <param name="Weights">[M]: share of the batch's loss; 0 for unused entries. A row's weights add up to 1/B (method notes §2.5).</param>
public readonly record struct LossTargets(Tensor Tokens, Tensor Returns, Tensor Weights)
{
    /// <summary>Some of them.</summary>
    public LossTargets Range(int first, int count) => new(Tokens.Range(first, count), Returns.Range(first, count), Weights.Range(first, count));
}

/// <summary>How much a batch holds.</summary>
/// <param name="Rows">Most rows.</param>
/// <param name="Tokens">Most rows times the longest of them: then each batch is as wide as its own rows. 0: all are as wide as the longest row of all.</param>
public readonly record struct BatchSize(int Rows, int Tokens = 0)
{
    public static implicit operator BatchSize(int rows) => new(rows);
}

/// <summary>
/// One batch of whole rows, filled on the host and copied to fixed device tensors. Rows are padded on the right; the
/// positions that bear loss are listed, so that the head runs on them alone.
/// </summary>
public sealed class TrainBatch
{
    /// <summary>Tokens of a step, padding included, beyond all use.</summary>
    public const int MostTokens = 1 << 24;

    private readonly int[] _tokens, _positions, _spans, _lossRows, _lossTokens, _lossPositions;
    private readonly TokenBatch _whole;
    private readonly float[] _returns, _weights;
    private readonly (int Start, int Count)[] _rowLosses;
    private int _losses;

    /// <param name="size">B rows; with a limit on tokens each batch has a shape of its own (<see cref="Reshape"/>).</param>
    /// <param name="time">T: longest row.</param>
    /// <param name="lossesPerRow">Most loss positions of one row; M = B times this, or the limit on tokens where that is less.</param>
    /// <exception cref="UserException">It would have more than <see cref="MostTokens"/>.</exception>
    public TrainBatch(BatchSize size, int time, int lossesPerRow, Arena arena)
    {
        long all = size.Tokens > 0 ? size.Tokens : (long)size.Rows * time;
        if (all > MostTokens) throw new UserException($"A step of {size.Rows} rows of up to {time} tokens has {all}, and at most {MostTokens} are taken; make the batch smaller.");
        int rows = size.Rows, tokens = (int)all;
        Rows = rows;
        Time = time;
        LossCapacity = (int)Math.Min((long)rows * lossesPerRow, tokens);
        _whole = TokenBatch.ForViews(rows, tokens, arena);
        Tokens = size.Tokens > 0 ? _whole : _whole.View(rows, time);
        LossRows = arena.Take(LossCapacity, DType.I32);
        Targets = new LossTargets(arena.Take(LossCapacity, DType.I32), arena.Take(LossCapacity), arena.Take(LossCapacity));
        _tokens = new int[tokens];
        _positions = new int[tokens];
        _spans = new int[rows * 3];
        _lossRows = new int[LossCapacity];
        _lossTokens = new int[LossCapacity];
        _lossPositions = new int[LossCapacity];
        _returns = new float[LossCapacity];
        _weights = new float[LossCapacity];
        _rowLosses = new (int, int)[rows];
    }

    /// <summary>Rows of the batch at hand.</summary>
    public int Rows { get; private set; }

    /// <summary>Tokens that each of them has room for.</summary>
    public int Time { get; private set; }

    public int LossCapacity { get; }

    public TokenBatch Tokens { get; private set; }

    /// <summary>[M] I32: which row of the hidden states [B·T, C] each loss reads.</summary>
    public Tensor LossRows { get; }

    public LossTargets Targets { get; }

    /// <summary>The host's side of the targets.</summary>
    public LossPositions Positions => new(_returns, _weights, _lossPositions);

    /// <summary>[M]: each loss's weight on the host, to be changed before the batch is copied.</summary>
    public Span<float> LossWeights => _weights;

    /// <summary>[M]: each loss's return on the host, to be changed before the batch is copied.</summary>
    public Span<float> LossReturns => _returns;

    /// <summary>Which losses are a row's; none where the row is not set.</summary>
    public (int Start, int Count) LossesOf(int row) => _rowLosses[row];

    /// <summary>Tokens in the batch, without padding.</summary>
    public long TokenCount { get; private set; }

    /// <summary>Gives the next batch a shape of its own, within the limit on tokens.</summary>
    public void Reshape(int rows, int time)
    {
        (Rows, Time) = (rows, time);
        Tokens = _whole.View(rows, time);
    }

    /// <summary>Tokens of a row without padding.</summary>
    /// <param name="bidirectional">How many of them see one another in both directions.</param>
    public ReadOnlySpan<int> TextOf(int row, out int bidirectional)
    {
        bidirectional = _spans[3 * row + 1];
        return _tokens.AsSpan(row * Time, _spans[3 * row + 2]);
    }

    /// <summary>Forgets the last batch.</summary>
    public void Clear()
    {
        Array.Clear(_tokens);
        Array.Clear(_positions);
        Array.Clear(_spans);
        Array.Clear(_lossRows);
        Array.Clear(_lossTokens);
        Array.Clear(_returns);
        Array.Clear(_weights);
        Array.Clear(_rowLosses);
        _losses = 0;
        TokenCount = 0;
    }

    /// <summary>Sets row <paramref name="row"/>; tokens from <paramref name="firstLoss"/> on bear loss.</summary>
    /// <param name="bidirectional">How many leading tokens see one another in both directions; 0 for none.</param>
    /// <param name="readsAtToken">See <see cref="IHead.ReadsAtToken"/>.</param>
    /// <param name="rowWeight">Share of the whole loss; 1/B in training.</param>
    /// <param name="promptEnd">An earlier token that bears loss too; −1 for none.</param>
    /// <param name="silent">[tokens]: those that bear no loss all the same; empty: none.</param>
    public void SetRow(
        int row, ReadOnlySpan<int> tokens, int firstLoss, int bidirectional, bool readsAtToken, float rowReturn, float rowWeight, int promptEnd = -1,
        ReadOnlySpan<bool> silent = default)
    {
        if (tokens.Length > Time) throw new ArgumentException($"A row of {tokens.Length} tokens does not fit a batch of {Time}.");
        int at = row * Time;
        tokens.CopyTo(_tokens.AsSpan(at));
        for (int t = 0; t < tokens.Length; t++) _positions[at + t] = t;
        _spans[3 * row] = 0;
        _spans[3 * row + 1] = bidirectional;
        _spans[3 * row + 2] = tokens.Length;
        TokenCount += tokens.Length;
        int count = tokens.Length - firstLoss + (promptEnd >= 0 ? 1 : 0) - (silent.IsEmpty ? 0 : silent[firstLoss..tokens.Length].Count(true));
        _rowLosses[row] = (_losses, count);
        if (promptEnd >= 0) Add(promptEnd, tokens[promptEnd], 0);
        for (int t = firstLoss; t < tokens.Length; t++)
            if (silent.IsEmpty || !silent[t]) Add(t, tokens[t], t - firstLoss);

        void Add(int t, int token, int position)
        {
            _lossRows[_losses] = at + (readsAtToken ? t : t - 1);
            _lossTokens[_losses] = token;
            _returns[_losses] = rowReturn;
            _weights[_losses] = rowWeight / count;
            _lossPositions[_losses++] = position;
        }
    }

    /// <summary>Copies the batch to the device.</summary>
    public void Upload(Device device)
    {
        int tokens = Rows * Time;
        device.Upload<int>(_tokens.AsSpan(0, tokens), Tokens.Tokens);
        device.Upload<int>(_positions.AsSpan(0, tokens), Tokens.Positions);
        device.Upload<int>(_spans.AsSpan(0, 3 * Rows), Tokens.Spans);
        device.Upload<int>(_lossRows, LossRows);
        device.Upload<int>(_lossTokens, Targets.Tokens);
        device.Upload<float>(_returns, Targets.Returns);
        device.Upload<float>(_weights, Targets.Weights);
    }
}
