using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Bench;

/// <summary>The sizes of a model with a tied head, RMS norm, SwiGLU and rotary positions.</summary>
internal sealed record DecodeShape(
    string Name, DType Weights, int Layers, int Width, int Heads, int KvHeads, int HeadDim, int Hidden, int Vocab)
{
    /// <summary>Columns of the cache in use.</summary>
    public required int Context { get; init; }

    public required int Rounds { get; init; }
}

/// <summary>One call of an op.</summary>
internal sealed record DecodeCall(string Name, Action Run);

/// <summary>The ops of one decoding step with memory of their own: what Transformer.Extend, the head and the draw call.</summary>
internal sealed class DecodeStep : IDisposable
{
    private const float Epsilon = 1e-5f;
    private const int Capacity = 1024, PromptTokens = 32, Candidates = 20, LargeVocabulary = 128256;
    private const ulong Key = 1;

    private readonly Ops _ops;
    private readonly Tensor _frequencies;
    private readonly DeviceBuffer _memory;
    private readonly Tensors _t;

    public DecodeStep(CpuDevice device, DecodeShape shape)
    {
        _ops = Ops.For(device);
        Shape = shape;
        Threads = device.Workers.Threads;
        (_t, _memory) = Arena.Build(device, arena => new Tensors(shape, arena));
        _frequencies = _t.Frequencies;
        RopeFrequencies.Compute(shape.HeadDim, 10000, null).CopyTo(_frequencies.Span<float>());
        PhiloxStream random = new(1);
        foreach (Tensor vector in _t.Random)
            foreach (ref float value in vector.Span<float>()) value = random.NextNormal();
        foreach (ref float value in _t.Peaked.Span<float>()) value = 3 * random.NextNormal();
        foreach (Tensor matrix in _t.Matrices) Fill(matrix, shape.Width, ref random);
        Restart();
        Calls = [.. Step()];
        Apart = [.. Others()];
        WeightBytes = _t.Matrices.Sum(matrix => matrix.Bytes);
    }

    public DecodeShape Shape { get; }

    public int Threads { get; }

    /// <summary>The step, in order.</summary>
    public IReadOnlyList<DecodeCall> Calls { get; }

    /// <summary>Ops that other steps have: other ways to draw, guided decoding, other contexts.</summary>
    public IReadOnlyList<DecodeCall> Apart { get; }

    public long WeightBytes { get; }

    /// <summary>Back to the context that is measured.</summary>
    public void Restart()
    {
        _t.PromptOf.Span<int>()[0] = 0;
        _t.PromptLengths.Span<int>()[0] = PromptTokens;
        _t.Lengths.Span<int>()[0] = Shape.Context - PromptTokens;
    }

    public void Dispose() => _memory.Dispose();

    private static void Fill(Tensor matrix, int width, ref PhiloxStream random)
    {
        float scale = 1 / MathF.Sqrt(width);
        for (int i = 0; i < matrix.Count; i++)
        {
            float value = (random.NextUniform() - 0.5f) * scale;
            if (matrix.DType == DType.BF16) matrix.Span<ushort>()[i] = BFloat16.Round(value);
            else matrix.Span<float>()[i] = value;
        }
    }

    private IEnumerable<DecodeCall> Step()
    {
        (int h, int g) = (Shape.Heads, Shape.KvHeads);
        Tensors t = _t;
        yield return new("CachePositions", () => _ops.CachePositions(t.PromptLengths, t.PromptOf, t.Lengths, CacheLayout.Sequence, t.Positions));
        yield return new("Embedding", () => _ops.Embedding(t.Token, t.Table, Tensor.None, Tensor.None, t.Stream));
        for (int i = 0; i < Shape.Layers; i++)
        {
            int layer = i;
            (Tensor qkv, Tensor output, Tensor up, Tensor down) = (t.Qkv[i], t.Out[i], t.Up[i], t.Down[i]);
            (Tensor keys, Tensor values) = (t.Keys.Slice(i), t.Values.Slice(i));
            yield return new("RmsNorm", () => _ops.RmsNorm(t.Stream, t.Norm, Epsilon, t.Normed, t.Stats));
            yield return new("MatMul qkv", () => _ops.MatMul(t.Normed, qkv, Tensor.None, t.Packed));
            yield return new("KvWrite", () => _ops.KvWrite(t.Packed, h, g, t.Positions, _frequencies, t.Lengths, Tensor.None, keys, values));
            yield return new("CachedAttention", () => _ops.CachedAttention(
                t.Packed, t.PromptsAt(layer), keys, values, t.Lengths, Tensor.None, h, g, CacheLayout.Sequence, t.Mixed));
            yield return new("MatMul out", () => _ops.MatMul(t.Mixed, output, Tensor.None, t.Branch));
            yield return new("Add", () => _ops.Add(t.Stream, t.Branch, t.Stream));
            yield return new("RmsNorm", () => _ops.RmsNorm(t.Stream, t.Norm, Epsilon, t.Normed, t.Stats));
            yield return new("MatMul up", () => _ops.MatMul(t.Normed, up, Tensor.None, t.GateUp));
            yield return new("SwiGlu", () => _ops.SwiGlu(t.GateUp, t.Activated));
            yield return new("MatMul down", () => _ops.MatMul(t.Activated, down, Tensor.None, t.Branch));
            yield return new("Add", () => _ops.Add(t.Stream, t.Branch, t.Stream));
        }
        yield return new("RmsNorm", () => _ops.RmsNorm(t.Stream, t.Norm, Epsilon, t.Normed, t.Stats));
        yield return new("MatMul head", () => _ops.MatMul(t.Normed, t.Table, Tensor.None, t.Logits));
        yield return new("TiltedSample", Draw(GuidanceRule.Reference()));
        yield return new("Advance", () => _ops.Advance(t.Lengths, Tensor.None, 1));
    }

    private IEnumerable<DecodeCall> Others()
    {
        Tensors t = _t;
        foreach ((float temperature, float topP) in new[] { (0f, 1f), (0.7f, 1f), (1f, 0.9f), (0.7f, 0.5f) })
            yield return new($"TiltedSample, T {temperature}, top-p {topP}", Draw(GuidanceRule.Reference(temperature, topP)));
        yield return new($"TopK {Candidates} of {Shape.Vocab}", () => _ops.TopK(t.Peaked, t.Candidates, Tensor.None));
        yield return new($"TopK {Candidates} of {LargeVocabulary}", () => _ops.TopK(t.LargeLogits, t.Candidates, Tensor.None));
        foreach (int context in new[] { 64, 512, 1023 })
            yield return new($"CachedAttention, context {context}", () =>
            {
                t.OtherLengths.Span<int>()[0] = context - t.PromptLengths.Span<int>()[0];
                _ops.CachedAttention(
                    t.Packed, t.PromptsAt(0), t.Keys.Slice(0), t.Values.Slice(0), t.OtherLengths, Tensor.None, Shape.Heads, Shape.KvHeads,
                    CacheLayout.Sequence, t.Mixed);
            });
    }

    private Action Draw(GuidanceRule rule) => () => _ops.TiltedSample(
        _t.Peaked, Tensor.None, Tensor.None, Tensor.None, Tensor.None, _t.Streams, _t.Positions, rule, Key, _t.Token, Tensor.None, _t.Statistics);

    private sealed class Tensors
    {
        public Tensors(DecodeShape s, Arena arena)
        {
            int mixed = s.Heads * s.HeadDim, packed = (s.Heads + 2 * s.KvHeads) * s.HeadDim, column = s.KvHeads * s.HeadDim;
            Table = arena.Take((s.Vocab, s.Width), s.Weights);
            Tensor[] PerLayer(int outputs, int inputs) =>
                [.. Enumerable.Range(0, s.Layers).Select(_ => arena.Take((outputs, inputs), s.Weights))];
            (Qkv, Out) = (PerLayer(packed, s.Width), PerLayer(s.Width, mixed));
            (Up, Down) = (PerLayer(2 * s.Hidden, s.Width), PerLayer(s.Width, s.Hidden));
            (Keys, Values) = (arena.Take((s.Layers, 1, Capacity, column)), arena.Take((s.Layers, 1, Capacity, column)));
            (PromptKeys, PromptValues) = (arena.Take((s.Layers, 1, PromptTokens, column)), arena.Take((s.Layers, 1, PromptTokens, column)));
            (Norm, Stream) = (arena.Take(s.Width), arena.Take((1, s.Width)));
            (Normed, Branch) = (arena.Take((1, s.Width)), arena.Take((1, s.Width)));
            (Packed, Mixed) = (arena.Take((1, packed)), arena.Take((1, mixed)));
            (GateUp, Activated) = (arena.Take((1, 2 * s.Hidden)), arena.Take((1, s.Hidden)));
            (Logits, Peaked, LargeLogits) = (arena.Take((1, s.Vocab)), arena.Take((1, s.Vocab)), arena.Take((1, LargeVocabulary)));
            (Stats, Statistics) = (arena.Take(1), arena.Take((1, SampleStatistics.Count)));
            Frequencies = arena.Take(s.HeadDim / 2);
            Candidates = arena.Take((1, DecodeStep.Candidates), DType.I32);
            (PromptLengths, PromptOf) = (arena.Take(1, DType.I32), arena.Take(1, DType.I32));
            (Lengths, OtherLengths) = (arena.Take(1, DType.I32), arena.Take(1, DType.I32));
            (Token, Positions, Streams) = (arena.Take((1, 1), DType.I32), arena.Take((1, 1), DType.I32), arena.Take(1, DType.I32));
        }

        public Tensor Table { get; }
        public Tensor[] Qkv { get; }
        public Tensor[] Out { get; }
        public Tensor[] Up { get; }
        public Tensor[] Down { get; }
        public Tensor Keys { get; }
        public Tensor Values { get; }
        public Tensor PromptKeys { get; }
        public Tensor PromptValues { get; }
        public Tensor PromptLengths { get; }
        public Tensor PromptOf { get; }
        public Tensor Norm { get; }
        public Tensor Stream { get; }
        public Tensor Normed { get; }
        public Tensor Branch { get; }
        public Tensor Packed { get; }
        public Tensor Mixed { get; }
        public Tensor GateUp { get; }
        public Tensor Activated { get; }
        public Tensor Logits { get; }
        /// <summary>What is drawn from: random weights give logits that are far too even.</summary>
        public Tensor Peaked { get; }

        public Tensor LargeLogits { get; }
        public Tensor Stats { get; }
        public Tensor Statistics { get; }
        public Tensor Frequencies { get; }
        public Tensor Candidates { get; }
        public Tensor Lengths { get; }
        public Tensor OtherLengths { get; }
        public Tensor Token { get; }
        public Tensor Positions { get; }
        public Tensor Streams { get; }

        public IEnumerable<Tensor> Matrices => [Table, .. Qkv, .. Out, .. Up, .. Down];

        /// <summary>What is drawn from N(0, 1).</summary>
        public IEnumerable<Tensor> Random => [Keys, Values, PromptKeys, PromptValues, Norm, Stream, LargeLogits];

        public CachedPrompts PromptsAt(int layer) => new(PromptKeys.Slice(layer), PromptValues.Slice(layer), PromptLengths, PromptOf);
    }
}
