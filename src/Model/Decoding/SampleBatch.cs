using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Why a response ended.</summary>
public enum Finish
{
    /// <summary>It has as many tokens as it may have.</summary>
    Length,

    /// <summary>Its last token is one that ends a text.</summary>
    End,

    /// <summary>Whoever watches the tokens said so: a stop string, say.</summary>
    Stop,
}

/// <summary>
/// The rows of a sampler on the host: prompts and, as they are drawn, their responses. Reused from run to run, and by the rows
/// that start where others have ended.
/// </summary>
/// <param name="hiddenWidth">C, where π_ref's hidden states are wanted too; else 0.</param>
/// <exception cref="UserException">It would be more than an array holds.</exception>
public sealed class SampleBatch(int rows, int promptTokens, int newTokens, int hiddenWidth = 0)
{
    /// <summary>Rows in use; the rest is ignored.</summary>
    public int Count { get; set; }

    public int[] Prompts { get; } = new int[Size(rows, promptTokens)];           // [R, P], right-padded

    public int[] PromptLengths { get; } = new int[rows];

    /// <summary>Most tokens of each row's response.</summary>
    public int[] Limits { get; } = new int[rows];

    /// <summary>Each row's stream of random numbers: the sample's own number, so that batching changes nothing.</summary>
    public int[] Streams { get; } = new int[rows];

    /// <summary>By which each row's asker knows it (<see cref="SampleRequest.Number"/>).</summary>
    public long[] Numbers { get; } = new long[rows];

    /// <summary>[R, returns of the guide's family]: log-weights of the returns for a weighted tilt, finite or −∞; empty where there are none.</summary>
    public float[] Weights { get; set; } = [];

    public int[] Responses { get; } = new int[Size(rows, newTokens)];            // [R, N]

    public int[] ResponseLengths { get; } = new int[rows];

    public Finish[] Finishes { get; } = new Finish[rows];

    public float[] Statistics { get; } = new float[Size(rows, (long)newTokens * SampleStatistics.Count)];

    /// <summary>[R, N, C]: π_ref's hidden state that each token was drawn from, of the sampler's <see cref="SamplerShape.HiddenLayer"/>; null where not wanted.</summary>
    public Half[]? Hidden { get; } = hiddenWidth > 0 ? new Half[Size(rows, (long)newTokens * hiddenWidth)] : null;

    public int HiddenWidth => hiddenWidth;

    public int Rows => rows;

    public int PromptTokens => promptTokens;

    public int NewTokens => newTokens;

    public ReadOnlySpan<int> Prompt(int row) => Prompts.AsSpan(row * promptTokens, PromptLengths[row]);

    public ReadOnlySpan<int> Response(int row) => Responses.AsSpan(row * newTokens, ResponseLengths[row]);

    /// <summary>[R, N]: ln of each token under <see cref="Sampler.Origin"/>, −∞ where that never draws it; 0 where that is not set.</summary>
    public float[] OriginLogProbs { get; } = new float[Size(rows, newTokens)];

    /// <summary>ln of a row's response under <see cref="Sampler.Origin"/>.</summary>
    public double OriginLogProb(int row)
    {
        double sum = 0;
        foreach (float logProb in OriginLogProbs.AsSpan(row * newTokens, ResponseLengths[row])) sum += logProb;
        return sum;
    }

    /// <summary>[tokens of the response, C]; see <see cref="Hidden"/>.</summary>
    public ReadOnlySpan<Half> ResponseHidden(int row) => Hidden.AsSpan(row * newTokens * hiddenWidth, ResponseLengths[row] * hiddenWidth);

    /// <summary>Sum of a statistic over a row's response.</summary>
    public double Sum(int row, int statistic)
    {
        double sum = 0;
        for (int t = 0; t < ResponseLengths[row]; t++) sum += Statistics[(row * newTokens + t) * SampleStatistics.Count + statistic];
        return sum;
    }

    /// <summary>A statistic of each token of a row's response.</summary>
    public float[] Column(int row, int statistic) =>
        [.. Enumerable.Range(0, ResponseLengths[row]).Select(t => Statistics[(row * newTokens + t) * SampleStatistics.Count + statistic])];

    /// <summary>Adds a prompt as the next row.</summary>
    public void Add(ReadOnlySpan<int> prompt, int limit, int stream)
    {
        if (Count >= rows) throw new ArgumentException($"A batch of {rows} rows is full.");
        Set(Count, prompt, limit, stream, Count);
        Count++;
    }

    /// <summary>Adds a token to a row's response.</summary>
    /// <param name="statistics">Its <see cref="SampleStatistics"/>.</param>
    public void Append(int row, int token, ReadOnlySpan<float> statistics)
    {
        int at = row * newTokens + ResponseLengths[row]++;
        Responses[at] = token;
        statistics.CopyTo(Statistics.AsSpan(at * SampleStatistics.Count));
    }

    /// <summary>Puts a prompt into a row, in place of what was there.</summary>
    public void Set(int row, ReadOnlySpan<int> prompt, int limit, int stream, long number)
    {
        if (prompt.Length > promptTokens || prompt.Length == 0 || limit < 1 || limit > newTokens)
            throw new ArgumentException($"A prompt of {prompt.Length} tokens with {limit} new ones does not fit a batch of {promptTokens} and {newTokens} tokens.");
        prompt.CopyTo(Prompts.AsSpan(row * promptTokens));
        PromptLengths[row] = prompt.Length;
        Limits[row] = limit;
        Streams[row] = stream;
        Numbers[row] = number;
        ResponseLengths[row] = 0;
        Finishes[row] = Finish.Length;
    }

    private static int Size(int rows, long each) => rows * each <= Array.MaxLength ? (int)(rows * each)
        : throw new UserException($"{rows} responses side by side, each with {each} numbers to keep, are more than one batch holds; lower --batch-rows or the most tokens of a response.");

    /// <summary>Empties the batch.</summary>
    public void Clear() => Count = 0;
}
