using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>One response to a prompt.</summary>
/// <param name="Ids">Tokens drawn, the end token included.</param>
/// <param name="Text">Without the end token or the stop string.</param>
/// <param name="LogProbs">ln π of each token under the law it was drawn from; empty where blocks were chosen, whose law is not known.</param>
/// <param name="ReferenceLogProbs">ln of each token under π_ref as it was shaped by temperature and top-p.</param>
/// <param name="Kl">
/// Σ KL(π ‖ π_ref) over the response, in nats; exact unless candidates were drawn by rejection: then, like <see cref="LogProbs"/>, an estimate without bias. NaN where blocks were chosen.
/// </param>
public sealed record Generation(int[] PromptIds, int[] Ids, string Text, Finish Finish, float[] LogProbs, float[] ReferenceLogProbs, double Kl)
{
    /// <summary>The most that <see cref="Kl"/> can be, where blocks were chosen; else null.</summary>
    public double? KlBound { get; init; }

    /// <summary>What the guide foretold at the prompt, where a function of the reward tilts; else null.</summary>
    public Foretold? Foretold { get; init; }
}

/// <param name="MaxTokens">Most tokens of a response.</param>
/// <param name="Samples">Responses to each prompt.</param>
/// <param name="EndIds">Tokens that end a response.</param>
/// <param name="StopTexts">Texts that end a response; they are not part of it.</param>
/// <param name="BatchRows">Most responses sampled side by side.</param>
public sealed record GenerateSettings(
    GuidanceRule Rule, int Candidates, int MaxTokens, int Samples, IReadOnlyList<int> EndIds, IReadOnlyList<string> StopTexts, ulong Seed, int BatchRows)
{
    /// <summary>The function of the reward of a weighted tilt.</summary>
    public TiltFunction? Function { get; init; }

    /// <summary>Blocks among which the guide chooses, by whatever the rule is for π_ref; null: it tilts each token.</summary>
    public BlockSettings? Blocks { get; init; }
}

/// <summary>Text from prompts, guided or not.</summary>
public sealed class TextGenerator(LanguageModel reference, IGuide? guide, Guidance guidance, Tokenizer tokenizer, GenerateSettings settings)
{
    private readonly Stopwatch _clock = new();

    /// <summary>Tokens drawn so far.</summary>
    public long Tokens { get; private set; }

    /// <summary>Until the first token was there: prefill, and the compiler's work.</summary>
    public TimeSpan FirstToken { get; private set; }

    /// <summary>Since the first prompt.</summary>
    public TimeSpan Elapsed => _clock.Elapsed;

    /// <summary>Draws all responses, prompt by prompt. A prompt's k-th response depends on the seed, the prompt and k alone.</summary>
    /// <param name="onText">Sees the text of the response to a single prompt as it grows; null: not wanted.</param>
    /// <exception cref="UserException">A prompt is empty, or does not fit the context.</exception>
    public IEnumerable<Generation> Run(IReadOnlyList<int[]> prompts, Action<string>? onText, CancellationToken stop)
    {
        if (prompts.Any(prompt => prompt.Length == 0)) throw new UserException("The prompt has no tokens; give at least one word.");
        long count = (long)prompts.Count * settings.Samples;
        int longest = prompts.Max(prompt => prompt.Length), rows = (int)Math.Clamp(settings.BatchRows / (settings.Blocks?.Count ?? 1), 1, count);
        // The reference's most likely token is looked for among all of the model's, as the reference library does; drawing keeps to the tokenizer's, as a guide does.
        int vocabulary = settings.Rule.Temperature == 0 && guide is null ? reference.Config.Vocab : Math.Min(tokenizer.Count, reference.Config.Vocab);
        SamplerShape shape = new(rows, longest, settings.MaxTokens, settings.Candidates, Vocabulary: vocabulary);
        using IResponseSampler sampler = settings.Blocks is { } blocks
            ? new BlockSampler(reference, guide!, guidance, shape, blocks, settings.EndIds)
            : new Sampler(reference, settings.Rule.IsGuided ? guide : null, guidance, shape, settings.EndIds);
        SampleBatch batch = new(rows, longest, settings.MaxTokens);
        HashSet<int> ends = [.. settings.EndIds];
        Dictionary<long, ResponseText> texts = [];
        InOrder<Generation> finished = new(0);
        _clock.Start();
        List<ReturnLaw>? laws = settings.Function is null ? null
            : ReadLaws(prompts, new SamplerShape(Math.Min(rows, prompts.Count), longest, 1, settings.Candidates, Vocabulary: vocabulary), stop);
        foreach (int row in sampler.Run(Requests(prompts, laws), batch, settings.Rule, Philox.Key(settings.Seed, 0), stop, GoesOn))
        {
            texts.Remove(batch.Numbers[row], out ResponseText? text);
            finished.Add(batch.Numbers[row], Result(batch, row, text!.Finish()) with { Foretold = laws is null ? null : Foretold.Of(settings.Function!, [laws[(int)(batch.Numbers[row] / settings.Samples)]]) });
            while (finished.TryTake(out Generation? next)) yield return next!;
        }

        bool GoesOn(int row, int token)
        {
            if (Tokens++ == 0) FirstToken = _clock.Elapsed;
            ref ResponseText? text = ref CollectionsMarshal.GetValueRefOrAddDefault(texts, batch.Numbers[row], out _);
            text ??= new ResponseText(tokenizer.Stream(), settings.StopTexts, count == 1 ? onText : null);
            return ends.Contains(token) || text.Append(token);
        }
    }

    /// <summary>Z at each prompt, of which a function of the reward makes its tilt.</summary>
    private List<ReturnLaw> ReadLaws(IReadOnlyList<int[]> prompts, SamplerShape shape, CancellationToken stop)
    {
        using PromptLaws reader = new(reference, guide!, shape.Rows, shape.PromptTokens, shape.Candidates, shape.Vocabulary);
        return reader.Read(prompts, settings.Rule, stop);
    }

    private Generation Result(SampleBatch batch, int row, string text)
    {
        Generation result = new(
            batch.Prompt(row).ToArray(), batch.Response(row).ToArray(), text, batch.Finishes[row],
            batch.Column(row, SampleStatistics.LogPolicy), batch.Column(row, SampleStatistics.LogReference), batch.Sum(row, SampleStatistics.Kl));
        return settings.Blocks is { } blocks ? result with { LogProbs = [], Kl = double.NaN, KlBound = blocks.KlBound(result.Ids.Length) } : result;
    }

    /// <summary>Each response with its own stream of random numbers; a prompt that comes twice goes on with its later samples. Made as they are asked for.</summary>
    /// <param name="laws">Z at each prompt, where a function of the reward tilts; else null.</param>
    private IEnumerable<SampleRequest> Requests(IReadOnlyList<int[]> prompts, List<ReturnLaw>? laws)
    {
        Dictionary<UInt128, int> seen = [];
        for (int i = 0; i < prompts.Count; i++)
        {
            UInt128 hash = HashOf(prompts[i]);
            int stream = (int)(hash & 0x7FFF_0000), first = seen.GetValueOrDefault(hash);   // room for 65,536 samples of a prompt; two prompts may have the same one
            seen[hash] = first + settings.Samples;
            float[]? weights = laws is null ? null : settings.Function!.Weights(laws[i]);
            for (int sample = 0; sample < settings.Samples; sample++)
                yield return new SampleRequest(prompts[i], settings.MaxTokens, (stream + first + sample) & int.MaxValue, (long)i * settings.Samples + sample) { Weights = weights };
        }
    }

    private static UInt128 HashOf(int[] prompt) => BinaryPrimitives.ReadUInt128LittleEndian(SHA256.HashData(MemoryMarshal.AsBytes<int>(prompt)));
}

/// <summary>The text of a response as it grows; a stop text ends it and is cut off.</summary>
internal sealed class ResponseText(TokenStream stream, IReadOnlyList<string> stops, Action<string>? onText)
{
    private readonly System.Text.StringBuilder _text = new();
    private readonly int _held = stops.Count == 0 ? 0 : stops.Max(stop => stop.Length) - 1;
    private int _shown;
    private bool _isStopped;

    /// <returns>Whether the response goes on.</returns>
    public bool Append(int token)
    {
        Grow(stream.Append(token));
        if (!_isStopped) Show(_text.Length - _held);
        return !_isStopped;
    }

    public string Finish()
    {
        if (!_isStopped) Grow(stream.Finish());
        Show(_text.Length);
        return _text.ToString();
    }

    private void Grow(string piece)
    {
        if (piece.Length == 0) return;
        int from = Math.Max(0, _text.Length - _held);
        _text.Append(piece);
        if (stops.Count == 0) return;
        // Only the end can hold a stop text that was not there before.
        string end = _text.ToString(from, _text.Length - from);
        int at = stops.Select(stop => end.IndexOf(stop, StringComparison.Ordinal)).Where(index => index >= 0).DefaultIfEmpty(-1).Min();
        if (at < 0) return;
        _text.Length = from + at;
        _isStopped = true;
    }

    private void Show(int until)
    {
        if (onText is null || until <= _shown) return;
        onText(_text.ToString(_shown, until - _shown));
        _shown = until;
    }
}
