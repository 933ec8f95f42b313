using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A model with its cache and the buffers of the passes that decoding makes. Every row may have a prompt of its own.</summary>
internal sealed class CachedModel : IDisposable
{
    // Tokens of one pass over prompts: enough for products at full speed, few enough for little memory. A longer prompt is
    // read in parts, unless its tokens see one another in both directions.
    private const int PrefillTokens = 512;

    private readonly DeviceBuffer _memory;
    private readonly StepBuffers _prompt;
    private readonly Tensor _counts, _lastRows, _promptHidden;
    private readonly int[] _hostTokens, _hostCounts, _hostRows, _hostPromptOf, _firstRows;

    /// <param name="step">Tokens a row in each pass after the prompt: 1, or the number of sibling candidates.</param>
    public CachedModel(HeadedModel model, int rows, int promptTokens, int newTokens, int step)
    {
        Model = model;
        DType type = model.ActivationType;
        bool inOnePass = model is ValueModel { Settings.BidirectionalPrompt: true };
        int prefill = Math.Max(Math.Min(PrefillTokens, rows * promptTokens), inOnePass ? promptTokens : 1);
        ((_prompt, Step, Single, Cache, LastHidden, _promptHidden, _counts, _lastRows), _memory) = Arena.Build(model.Ops.Device, arena =>
        {
            StepBuffers single = new(model.Config, rows, 1, type, arena);
            KvCache prompts = new(model.Config, rows, promptTokens, type, arena);
            return (
                new StepBuffers(model.Config, 1, prefill, type, arena),
                step == 1 ? single : new StepBuffers(model.Config, rows, step, type, arena),
                single,
                new KvCache(model.Config, rows, newTokens + step, type, arena, prompts),
                arena.Take((rows, model.Config.Width), type),
                arena.Take((rows, model.Config.Width), type),
                arena.Take(rows, DType.I32),
                arena.Take(rows, DType.I32));
        });
        _hostTokens = new int[prefill];
        _hostCounts = new int[rows];
        _hostRows = new int[rows];
        _hostPromptOf = new int[rows];
        _firstRows = new int[rows];
    }

    public HeadedModel Model { get; }

    /// <summary>Buffers of a decoding pass.</summary>
    public StepBuffers Step { get; }

    /// <summary>Buffers of a pass of one token a row.</summary>
    public StepBuffers Single { get; }

    public KvCache Cache { get; }

    /// <summary>[R, C]: hidden state of each row's last prompt token.</summary>
    public Tensor LastHidden { get; }

    /// <summary>Empties the cache and runs the prompts, each once: a row with the prompt of the row before shares it.</summary>
    public void Prefill(SampleBatch batch, CacheLayout layout)
    {
        Ops ops = Model.Ops;
        int prompts = 0;
        for (int row = 0; row < batch.Count; row++)
        {
            if (!batch.RepeatsPrompt(row)) _firstRows[prompts++] = row;
            _hostPromptOf[row] = prompts - 1;
        }
        _hostPromptOf.AsSpan(batch.Count).Fill(Math.Max(0, prompts - 1));   // rows that are not in use
        ops.Device.Upload<int>(_hostPromptOf, Cache.PromptOf);
        ops.Fill(Cache.Prompts!.Lengths, 0);
        ops.Fill(Cache.Lengths, 0);
        for (int prompt = 0; prompt < prompts;)
        {
            int count = GroupAt(batch, prompt, prompts);
            Prefill(batch, layout, prompt, count);
            prompt += count;
        }
        ops.Gather(_promptHidden, Cache.PromptOf, LastHidden);
    }

    /// <summary>Appends one token to every row that goes on. One that has ended must not grow past the model's context.</summary>
    /// <param name="tokens">[R] I32.</param>
    /// <param name="counts">[R] I32, 1 where the row goes on and 0 where it has ended; or None: all go on.</param>
    public void Append(Tensor tokens, Tensor counts)
    {
        Ops ops = Model.Ops;
        ops.Copy(tokens, Single.Tokens);
        Model.Trunk.Extend(counts, Cache, CacheLayout.Sequence, Single);
        ops.Advance(Cache.Lengths, counts, 1);
    }

    /// <summary>The head's outputs for several tokens that may come next in each row.</summary>
    /// <param name="tokens">[R, K] I32.</param>
    /// <param name="counts">[R] I32, how many of a row's K are real where the head reads at the token; or None: all are.</param>
    /// <param name="isAfterPrompt">Whether the cache holds the prompts alone.</param>
    /// <param name="outputs">[R, K, Outputs].</param>
    public void ScoreNext(Tensor tokens, Tensor counts, bool isAfterPrompt, Tensor outputs)
    {
        IHead head = Model.Head;
        Tensor flat = tokens.As((int)tokens.Count), hidden = isAfterPrompt ? LastHidden : Single.Hidden;
        if (head.ReadsAtToken)
        {
            Model.Ops.Copy(tokens, Step.Tokens);
            Model.Trunk.Extend(counts, Cache, CacheLayout.Siblings, Step);
            hidden = Step.Hidden;
        }
        head.Forward(hidden, flat, outputs.As((flat.Shape.D0, head.Outputs)));
    }

    public void Dispose() => _memory.Dispose();

    /// <summary>How many prompts from <paramref name="first"/> on go through in one pass: as many as fit with little padding.</summary>
    private int GroupAt(SampleBatch batch, int first, int end)
    {
        int count = 1, longest = batch.PromptLengths[_firstRows[first]], tokens = longest;
        for (; first + count < end; count++)
        {
            int length = batch.PromptLengths[_firstRows[first + count]];
            int area = Math.Max(longest, length) * (count + 1);
            if (area > _hostTokens.Length || 4 * (tokens + length) < 3 * area) break;
            longest = Math.Max(longest, length);
            tokens += length;
        }
        return count;
    }

    /// <summary>Some prompts that fit in one pass, or one prompt in as many passes as it needs.</summary>
    private void Prefill(SampleBatch batch, CacheLayout layout, int first, int count)
    {
        int longest = 0;
        for (int prompt = first; prompt < first + count; prompt++) longest = Math.Max(longest, batch.PromptLengths[_firstRows[prompt]]);
        int part = Math.Min(longest, _hostTokens.Length / count);
        for (int start = 0; start < longest; start += part) Prefill(batch, layout, first, count, start, Math.Min(part, longest - start));
    }

    private void Prefill(SampleBatch batch, CacheLayout layout, int first, int count, int start, int length)
    {
        Ops ops = Model.Ops;
        StepBuffers buffers = _prompt.View(count, length);
        Span<int> tokens = _hostTokens.AsSpan(0, count * length), counts = _hostCounts.AsSpan(0, count), lastRows = _hostRows.AsSpan(0, count);
        tokens.Clear();
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<int> prompt = batch.Prompt(_firstRows[first + i])[start..];
            counts[i] = Math.Min(prompt.Length, length);
            prompt[..counts[i]].CopyTo(tokens[(i * length)..]);
            lastRows[i] = i * length + counts[i] - 1;
        }
        Tensor deviceCounts = _counts.Range(0, count), deviceRows = _lastRows.Range(0, count);
        ops.Device.Upload<int>(tokens, buffers.Tokens);
        ops.Device.Upload<int>(counts, deviceCounts);
        ops.Device.Upload<int>(lastRows, deviceRows);
        KvCache window = Cache.Prompts!.Window(first, count);
        Model.Trunk.Extend(deviceCounts, window, layout, buffers);
        ops.Advance(window.Lengths, deviceCounts, 0);
        ops.Gather(buffers.Hidden, deviceRows, _promptHidden.Range(first, count));
    }
}
