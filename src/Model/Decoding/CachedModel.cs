using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A model with its cache and the buffers of the passes that decoding makes. Every row may have a prompt of its own.</summary>
internal sealed class CachedModel : IDisposable
{
    // Tokens of one pass over prompts: enough for products at full speed, few enough for little memory. A longer prompt is
    // read in parts, unless its tokens see one another in both directions.
    private const int PrefillTokens = 512;

    // Tokens of one pass at least, where there are prompts for so many: few rows may be multiplied in another order, and a prompt's bits
    // must not depend on which others are read with it.
    private const int LeastTokens = Ops.FewRows + 1;

    private readonly DeviceBuffer _memory;
    private readonly StepBuffers _prompt;
    private readonly Tensor _states, _layerStates, _counts, _lastRows;
    private readonly int[] _hostTokens, _hostCounts, _hostRows, _versions;

    /// <param name="prompts">Prompts that there is room for, at least one a row.</param>
    /// <param name="step">Tokens a row in each pass after the prompt: 1, or the number of sibling candidates.</param>
    /// <param name="stateLayer">Of <see cref="LayerStates"/>.</param>
    public CachedModel(HeadedModel model, int rows, int prompts, int promptTokens, int newTokens, int step, int stateLayer = 0)
    {
        Model = model;
        DType type = model.ActivationType;
        bool inOnePass = model is ValueModel { Settings.BidirectionalPrompt: true };
        int prefill = Math.Max(Math.Min(PrefillTokens, prompts * promptTokens), inOnePass ? promptTokens : 1);
        ((_prompt, Step, Single, Cache, Hidden, LayerStates, _states, _layerStates, _counts, _lastRows), _memory) = Arena.Build(model.Ops.Device, arena =>
        {
            Tensor states = arena.Take((rows + prompts, model.Config.Width), type), hidden = arena.Take((rows, model.Config.Width), type);
            Tensor layerStates = stateLayer > 0 ? arena.Take((rows + prompts, model.Config.Width), type) : states;
            StepBuffers single = new(model.Config, rows, 1, type, arena, states.Range(0, rows), layerStates.Range(0, rows), stateLayer);
            return (
                new StepBuffers(model.Config, 1, prefill, type, arena, stateLayer: stateLayer),
                step == 1 ? single : new StepBuffers(model.Config, rows, step, type, arena),
                single,
                new KvCache(model.Config, rows, newTokens + step, type, arena, new KvCache(model.Config, prompts, promptTokens, type, arena)),
                hidden,
                stateLayer > 0 ? arena.Take((rows, model.Config.Width), type) : hidden,
                states,
                layerStates,
                arena.Take(prompts, DType.I32),
                arena.Take(prompts, DType.I32));
        });
        _hostTokens = new int[prefill];
        _hostCounts = new int[prompts];
        _hostRows = new int[prompts];
        _versions = new int[prompts];
    }

    public HeadedModel Model { get; }

    /// <summary>Buffers of a decoding pass.</summary>
    public StepBuffers Step { get; }

    /// <summary>Buffers of a pass of one token a row.</summary>
    public StepBuffers Single { get; }

    public KvCache Cache { get; }

    /// <summary>[R, C]: the hidden state that each row's next token follows from.</summary>
    public Tensor Hidden { get; }

    /// <summary>[R, C]: the same of the layer that was asked for, its output as it is; of none, <see cref="Hidden"/>.</summary>
    public Tensor LayerStates { get; }

    /// <summary>Rows take other prompts: those that are not here yet are read. Selects the hidden states, too.</summary>
    /// <param name="slots">Which prompts lie where.</param>
    /// <param name="lengths">[R]: the columns that each row has behind its prompt.</param>
    /// <param name="source">See <see cref="Select"/>.</param>
    public void Start(PromptSlots slots, ReadOnlySpan<int> lengths, CacheLayout layout, Tensor source)
    {
        Model.Ops.Device.Upload(slots.Of, Cache.PromptOf);
        Model.Ops.Device.Upload(lengths, Cache.Lengths);
        for (int slot = 0; slot < slots.Count;)
        {
            int count = GroupAt(slots, slot);
            if (count > 0) Read(slots, layout, slot, count);
            slot += Math.Max(1, count);
        }
        Select(source);
    }

    /// <summary>Takes the rows' hidden states to <see cref="Hidden"/>.</summary>
    /// <param name="source">[R] I32: r for the token that row r has just appended, R + s for the last token of prompt s.</param>
    public void Select(Tensor source)
    {
        Model.Ops.Gather(_states, source, Hidden);
        if (Single.StateLayer > 0) Model.Ops.Gather(_layerStates, source, LayerStates);
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
    /// <param name="outputs">[R, K, Outputs].</param>
    public void ScoreNext(Tensor tokens, Tensor counts, Tensor outputs)
    {
        IHead head = Model.Head;
        Tensor flat = tokens.As((int)tokens.Count), hidden = Hidden;
        if (head.ReadsAtToken)
        {
            Model.Ops.Copy(tokens, Step.Tokens);
            Model.Trunk.Extend(counts, Cache, CacheLayout.Siblings, Step);
            hidden = Step.Hidden;
        }
        head.Forward(hidden, flat, outputs.As((flat.Shape.D0, head.Outputs)));
    }

    public void Dispose() => _memory.Dispose();

    private bool IsMissing(PromptSlots slots, int slot) => slots.IsUsed(slot) && _versions[slot] != slots.Version(slot);

    /// <summary>How many prompts from <paramref name="first"/> on go through in one pass: as many as fit with little padding.</summary>
    private int GroupAt(PromptSlots slots, int first)
    {
        if (!IsMissing(slots, first)) return 0;
        int count = 1, longest = slots.Prompt(first).Length, tokens = longest;
        for (; first + count < slots.Count && IsMissing(slots, first + count); count++)
        {
            int length = slots.Prompt(first + count).Length;
            int area = Math.Max(longest, length) * (count + 1);
            if (area > _hostTokens.Length || 4 * (tokens + length) < 3 * area) break;
            longest = Math.Max(longest, length);
            tokens += length;
        }
        return count;
    }

    /// <summary>Some prompts that fit in one pass, or one prompt in as many passes as it needs.</summary>
    private void Read(PromptSlots slots, CacheLayout layout, int first, int count)
    {
        int longest = 0;
        for (int slot = first; slot < first + count; slot++)
        {
            longest = Math.Max(longest, slots.Prompt(slot).Length);
            _versions[slot] = slots.Version(slot);
        }
        // Neighbours that fill the pass up add no column, and keep those that they have.
        int rows = Math.Min(slots.Count, Math.Max(count, (LeastTokens + longest - 1) / Math.Max(longest, 1))), begin = Math.Min(first, slots.Count - rows);
        KvCache window = Cache.Prompts!.Window(begin, rows);
        Model.Ops.Fill(window.Lengths, 0);
        int part = Math.Min(longest, _hostTokens.Length / rows);
        for (int start = 0; start < longest; start += part) Read(slots, layout, window, begin, (first, count), start, Math.Min(part, longest - start));
        Span<int> lengths = _hostCounts.AsSpan(0, rows);
        for (int i = 0; i < rows; i++) lengths[i] = slots.Prompt(begin + i).Length;
        Model.Ops.Device.Upload<int>(lengths, window.Lengths);
    }

    /// <param name="begin">The window's first slot.</param>
    /// <param name="read">The slots whose prompts are read.</param>
    private void Read(PromptSlots slots, CacheLayout layout, KvCache window, int begin, (int First, int Count) read, int start, int length)
    {
        Ops ops = Model.Ops;
        int rows = window.Rows;
        StepBuffers buffers = _prompt.View(rows, length);
        Span<int> tokens = _hostTokens.AsSpan(0, rows * length), counts = _hostCounts.AsSpan(0, rows), lastRows = _hostRows.AsSpan(0, read.Count);
        tokens.Clear();
        counts.Clear();
        for (int i = 0; i < read.Count; i++)
        {
            ReadOnlySpan<int> prompt = slots.Prompt(read.First + i)[start..];
            int row = read.First - begin + i;
            counts[row] = Math.Min(prompt.Length, length);
            prompt[..counts[row]].CopyTo(tokens[(row * length)..]);
            lastRows[i] = row * length + counts[row] - 1;
        }
        Tensor deviceCounts = _counts.Range(0, rows), deviceRows = _lastRows.Range(0, read.Count);
        ops.Device.Upload<int>(tokens, buffers.Tokens);
        ops.Device.Upload<int>(counts, deviceCounts);
        ops.Device.Upload<int>(lastRows, deviceRows);
        Model.Trunk.Extend(deviceCounts, window, layout, buffers);
        ops.Advance(window.Lengths, deviceCounts, 0);
        ops.Gather(buffers.Hidden, deviceRows, _states.Range(Cache.Rows + read.First, read.Count));
        if (buffers.StateLayer > 0) ops.Gather(buffers.LayerStates, deviceRows, _layerStates.Range(Cache.Rows + read.First, read.Count));
    }
}
