using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Tests.Kernels;

/// <summary>A batch of one decoding step on the CPU device, drawn by the fused op or by the naive chain.</summary>
internal sealed class DecodingRig : IDisposable
{
    public const ulong Key = 0x5EED_0000_1234;

    private readonly CpuDevice _device;
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly Tensor _masked, _logQ, _g, _outside, _residual, _scores, _logPolicy, _logMass;

    public DecodingRig(int rows, int vocabulary, int k, ReturnFamily family, int threads = 2)
    {
        _device = new CpuDevice(threads);
        Ops = Ops.For(_device);
        Rows = rows;
        Vocabulary = vocabulary;
        K = k;
        Family = family;
        Logits = Take((rows, vocabulary));
        Candidates = Take((rows, k), DType.I32);
        ValueLogits = Take((rows, k, family.Atoms));
        Prefix = Take(rows);
        Weights = Take((rows, family.Returns));
        Streams = Take(rows, DType.I32);
        Positions = Take(rows, DType.I32);
        Next = Take(rows, DType.I32);
        Chosen = Take(rows, DType.I32);
        Statistics = Take((rows, SampleStatistics.Count));
        _masked = Take((rows, vocabulary));
        _logQ = Take((rows, vocabulary));
        _g = Take((rows, k));
        _outside = Take(rows);
        _residual = Take(rows);
        _scores = Take((rows, vocabulary));
        _logPolicy = Take((rows, vocabulary));
        _logMass = Take(rows);
        for (int row = 0; row < rows; row++) (Streams.Span<int>()[row], Positions.Span<int>()[row]) = (row, 3 * row + 1);
    }

    public Ops Ops { get; }

    public int Rows { get; }

    public int Vocabulary { get; }

    public int K { get; }

    public ReturnFamily Family { get; }

    public Tensor Logits { get; }

    public Tensor Candidates { get; }

    public Tensor ValueLogits { get; }

    public Tensor Prefix { get; }

    /// <summary>Log-weights of the returns, which only weighted tilts read.</summary>
    public Tensor Weights { get; }

    public Tensor Streams { get; }

    public Tensor Positions { get; }

    public Tensor Next { get; }

    public Tensor Chosen { get; }

    public Tensor Statistics { get; }

    /// <summary>ln π of every token, after the naive chain.</summary>
    public Tensor LogPolicy => _logPolicy;

    /// <summary>
    /// Peaked logits with ties and masks, the K highest as candidates, any value logits, a prefix known in three rows
    /// of four; tables in which one return in three has no weight, and none has in every eighth row.
    /// </summary>
    public void Draw(ulong seed, float lambda, double spread = 2)
    {
        PhiloxStream random = new(seed);
        foreach (ref float logit in Logits.Span<float>())
        {
            logit = (float)(spread * random.NextNormal());
            if (random.NextInt(4) == 0) logit = MathF.Round(logit * 4) / 4;
            if (random.NextInt(10) == 0) logit = float.NegativeInfinity;
        }
        Ops.TopK(Logits, Candidates, Tensor.None);
        foreach (ref float logit in ValueLogits.Span<float>()) logit = 2 * random.NextNormal();
        for (int row = 0; row < Rows; row++)
        {
            float mean = Family.Min + (Family.Max - Family.Min) * random.NextUniform();
            Prefix.Span<float>()[row] = row % 4 == 3 ? float.NaN : lambda * mean;
            foreach (ref float weight in Weights.Slice(row).Span<float>())
                weight = row % 8 == 7 || random.NextInt(3) == 0 ? float.NegativeInfinity : lambda * random.NextUniform();
        }
    }

    public void Fused(GuidanceRule rule) =>
        Ops.TiltedSample(Logits, Candidates, ValueLogits, WeightsOf(rule), Prefix, Streams, Positions, rule, Key, Next, Chosen, Statistics);

    public void FusedWithoutValues(GuidanceRule rule) =>
        Ops.TiltedSample(Logits, Tensor.None, Tensor.None, Tensor.None, Tensor.None, Streams, Positions, rule, Key, Next, Chosen, Statistics);

    public void Naive(GuidanceRule rule)
    {
        float temperature = rule.Temperature == 0 ? 1 : rule.Temperature;
        Tensor policy = _logPolicy, logMass = Tensor.None;
        if (rule.IsGuided && rule.Order == Order.TiltThenTemper)
        {
            Ops.LogSoftmax(Logits, temperature, _logQ);
            Ops.AtomTilt(ValueLogits, rule.Family, rule.Tilt, rule.Lambda, WeightsOf(rule), _g);
            Ops.OutsideTilt(_logQ, Candidates, _g, WeightsOf(rule), Prefix, rule, _outside, _residual);
            Ops.Scatter(Logits, Candidates, _g, _outside, _scores);
            Ops.TopP(_scores, temperature, rule.TopP, _masked, Tensor.None);
            Ops.LogSoftmax(_masked, temperature, _logPolicy);
        }
        else
        {
            logMass = _logMass;
            Ops.TopP(Logits, temperature, rule.TopP, _masked, _logMass);
            Ops.LogSoftmax(_masked, temperature, _logQ);
            policy = _logQ;
            if (rule.IsGuided)
            {
                Ops.AtomTilt(ValueLogits, rule.Family, rule.Tilt, rule.Lambda, WeightsOf(rule), _g);
                Ops.OutsideTilt(_logQ, Candidates, _g, WeightsOf(rule), Prefix, rule, _outside, _residual);
                Ops.Scatter(_logQ, Candidates, _g, _outside, _scores);
                Ops.LogSoftmax(_scores, 1, _logPolicy);
                policy = _logPolicy;
            }
        }
        if (rule.Temperature == 0) Ops.TopK(policy, Next.As((Rows, 1)), Tensor.None);
        else Ops.SampleRow(policy, Streams, Positions, Key, Next);
        Ops.StepStatistics(policy, _logQ, logMass, Next, rule, Candidates, ValueLogits, WeightsOf(rule), _g, _outside, _residual, Chosen, Statistics);
    }

    /// <summary>The float64 oracle of one row.</summary>
    public GuidedStep Exact(GuidanceRule rule, int row) => GuidedStep.Of(
        rule, Row(Logits, row), [.. Candidates.Slice(row).Span<int>()],
        [.. Row(ValueLogits, row).Chunk(Family.Atoms)], Prefix.Span<float>()[row], Key, Streams.Span<int>()[row],
            Positions.Span<int>()[row], rule.Tilt == Tilt.Weighted ? Row(Weights, row) : null);

    private Tensor WeightsOf(GuidanceRule rule) => rule.Tilt == Tilt.Weighted ? Weights : Tensor.None;

    public (int[] Next, int[] Chosen, float[] Statistics) Result() =>
        (Next.Span<int>().ToArray(), Chosen.Span<int>().ToArray(), Statistics.Span<float>().ToArray());

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers) buffer.Dispose();
        _device.Dispose();
    }

    private static double[] Row(Tensor tensor, int row) => [.. tensor.Slice(row).Span<float>().ToArray().Select(value => (double)value)];

    public Tensor Take(Shape shape, DType type = DType.F32)
    {
        DeviceBuffer buffer = _device.Allocate(shape.Count * type.Size());
        _buffers.Add(buffer);
        return new Tensor(buffer, 0, type, shape);
    }
}
