using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Block-wise controlled decoding (Mudgal et al. 2024; method notes §4.1).</summary>
/// <param name="Count">M: blocks drawn from π_ref at each place; the one with the highest value goes on.</param>
/// <param name="Tokens">B: tokens of a block.</param>
public sealed record BlockSettings(int Count, int Tokens)
{
    /// <summary>The most that a response of so many tokens can be worth in KL from π_ref: ln M − (M − 1)/M nats a block.</summary>
    public double KlBound(int tokens) => (tokens + Tokens - 1) / Tokens * (Math.Log(Count) - (Count - 1.0) / Count);
}

/// <summary>
/// Draws responses block by block: M blocks from π_ref, each judged by the guide's mean return at its end (or at the response's,
/// where it ends before), and on with the best. A guide of any kind will do, for all know the value of a text; what the text holds
/// is read anew for each block. Statistics are those of π_ref, for the law of a chosen block is not known.
/// </summary>
public sealed class BlockSampler : IResponseSampler
{
    private readonly BlockSettings _blocks;
    private readonly Sampler _sampler;
    private readonly GuideJudge _judge;
    private readonly SampleBatch _drawn;

    /// <param name="shape">Rows: responses side by side, each of which takes M; tokens of the longest prompt and response.</param>
    /// <param name="stops">Tokens that end a response.</param>
    public BlockSampler(LanguageModel reference, IGuide guide, Guidance guidance, SamplerShape shape, BlockSettings blocks, IEnumerable<int> stops)
    {
        if (guide.Settings.BidirectionalPrompt)
            throw new UserException("A guide that reads prompts in both directions would take each block for a part of the prompt; train one with --guide-prompt causal.");
        shape.Require(reference, guide);
        _blocks = blocks;
        int rows = checked(shape.Rows * blocks.Count), longest = shape.PromptTokens + shape.NewTokens, tokens = Math.Min(blocks.Tokens, shape.NewTokens);
        _sampler = new Sampler(reference, null, guidance, new SamplerShape(rows, longest, tokens, RowTokens: longest, Vocabulary: shape.Vocabulary), stops);
        try
        {
            _judge = new GuideJudge(reference, guide, rows, longest);
        }
        catch
        {
            _sampler.Dispose();
            throw;
        }
        _drawn = new SampleBatch(rows, longest, tokens);
    }

    /// <inheritdoc/>
    /// <param name="rule">π_ref as it is sampled.</param>
    /// <param name="goesOn">Sees the tokens of a block when it is chosen; what follows the one at which a response ends is dropped.</param>
    /// <exception cref="UserException">The guide has no value for any block of a text.</exception>
    public IEnumerable<int> Run(
        IEnumerable<SampleRequest> requests, SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default, Func<int, int, bool>? goesOn = null)
    {
        foreach (SampleRequest[] part in requests.Chunk(batch.Rows))
        {
            batch.Clear();
            foreach (SampleRequest request in part) batch.Set(batch.Count++, request.Prompt, request.Limit, request.Stream, request.Number);
            Run(batch, rule, key, stop, goesOn);
            for (int row = 0; row < part.Length; row++) yield return row;
        }
    }

    /// <summary>Draws a response for every row of the batch.</summary>
    private void Run(SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop, Func<int, int, bool>? goesOn)
    {
        Array.Clear(batch.ResponseLengths);
        int[] open = [.. Enumerable.Range(0, batch.Count)];
        for (uint block = 0; open.Length > 0; block++)
        {
            _drawn.Clear();
            foreach (int row in open)
            {
                int[] text = [.. batch.Prompt(row), .. batch.Response(row)];
                int limit = Math.Min(_blocks.Tokens, batch.Limits[row] - batch.ResponseLengths[row]);
                for (int m = 0; m < _blocks.Count; m++) _drawn.Add(text, limit, unchecked(batch.Streams[row] * _blocks.Count + m) & int.MaxValue);
            }
            _sampler.Run(_drawn, rule, Philox.Key(key, block), stop);
            double[] scores = _judge.Score([.. Enumerable.Range(0, _drawn.Count).Select(row => (_drawn.Prompt(row).ToArray(), _drawn.Response(row).ToArray()))]);
            for (int i = 0; i < open.Length; i++) Append(batch, open[i], i * _blocks.Count + Best(scores.AsSpan(i * _blocks.Count, _blocks.Count)), goesOn);
            open = [.. open.Where(row => batch.Finishes[row] == Finish.Length && batch.ResponseLengths[row] < batch.Limits[row])];
        }
    }

    public void Dispose()
    {
        _judge.Dispose();
        _sampler.Dispose();
    }

    private static int Best(ReadOnlySpan<double> scores) => Voting.Best(scores) is var best && best != Voting.None
        ? best
        : throw new UserException("The guide's values of all blocks of a text are NaN, so none can be chosen; its learning may have diverged: train it again at a lower --learning-rate.");

    private void Append(SampleBatch batch, int row, int from, Func<int, int, bool>? goesOn)
    {
        const int columns = SampleStatistics.Count;
        ReadOnlySpan<int> block = _drawn.Response(from);
        ReadOnlySpan<float> statistics = _drawn.Statistics.AsSpan(from * _drawn.NewTokens * columns, block.Length * columns);
        for (int t = 0; t < block.Length; t++)
        {
            batch.Append(row, block[t], statistics.Slice(t * columns, columns));
            batch.Finishes[row] = t + 1 < block.Length ? Finish.Length : _drawn.Finishes[from];
            if (goesOn is null || goesOn(row, block[t])) continue;
            if (batch.Finishes[row] != Finish.End) batch.Finishes[row] = Finish.Stop;
            return;
        }
    }
}
