using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>What the cases of the layer, memory and optimizer ops cannot say: errors, aliasing, allocation.</summary>
public sealed class LayerOpsTests : IDisposable
{
    private const int Rows = 600, Columns = 64;

    private readonly CpuDevice _device = new(2);
    private readonly Ops _ops;
    private readonly DeviceBuffer _memory;
    private readonly Tensors _t;

    public LayerOpsTests()
    {
        _ops = Ops.For(_device);
        (_t, _memory) = Arena.Build(_device, arena => new Tensors(arena));
        PhiloxStream random = new(1);
        foreach (Tensor tensor in new[] { _t.X, _t.Dy, _t.Weight, _t.Table })
            foreach (ref float value in tensor.Span<float>()) value = random.NextNormal();
        foreach (ref int id in _t.Ids.Span<int>()) id = random.NextInt(_t.Table.Shape.D0);
        new[] { 0.01f, 0.1f, 0.05f, 1 }.CopyTo(_t.Schedule.Span<float>());
    }

    public void Dispose()
    {
        _memory.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(5)]
    [InlineData(int.MinValue)]
    public void Rows_outside_of_the_table_are_refused_before_anything_is_written(int id)
    {
        _t.Ids.Span<int>()[Rows - 1] = id;
        void Refused(string op, Action call)
        {
            ArgumentException error = Assert.Throws<ArgumentException>(call);
            Assert.StartsWith($"{op}: ", error.Message, StringComparison.Ordinal);
            Assert.Contains($" {id} at index {Rows - 1} is outside of the table of 5 rows", error.Message, StringComparison.Ordinal);
            Assert.All(_t.Y.Span<float>().ToArray(), value => Assert.Equal(0, value));
            Assert.All(_t.DTable.Span<float>().ToArray(), value => Assert.Equal(0, value));
        }
        Refused("Embedding", () => _ops.Embedding(_t.Ids, _t.Table, Tensor.None, Tensor.None, _t.Y));
        Refused("Embedding", () => _ops.Embedding(_t.GoodIds, _t.Table, _t.Ids, _t.Table, _t.Y));
        Refused("EmbeddingBackward", () => _ops.EmbeddingBackward(_t.Dy, _t.Ids, Tensor.None, _t.DTable, Tensor.None));
        Refused("EmbeddingBackward", () => _ops.EmbeddingBackward(_t.Dy, _t.GoodIds, _t.Ids, _t.DTable, _t.DTable));
        Refused("Gather", () => _ops.Gather(_t.Table, _t.Ids, _t.Y));
        Refused("GatherBackward", () => _ops.GatherBackward(_t.Dy, _t.Ids, _t.DTable));
    }

    [Fact]
    public void Norms_may_write_over_their_input()
    {
        _ops.LayerNorm(_t.X, _t.Weight, _t.Weight, 1e-5f, _t.Y, _t.Stats2);
        _ops.Copy(_t.X, _t.Z);
        _ops.LayerNorm(_t.Z, _t.Weight, _t.Weight, 1e-5f, _t.Z, _t.Stats2);
        Assert.Equal(_t.Y.Span<float>(), _t.Z.Span<float>());
        _ops.RmsNorm(_t.X, _t.Weight, 1e-5f, _t.Y, _t.Stats);
        _ops.Copy(_t.X, _t.Z);
        _ops.RmsNorm(_t.Z, _t.Weight, 1e-5f, _t.Z, _t.Stats);
        Assert.Equal(_t.Y.Span<float>(), _t.Z.Span<float>());
    }

    [Fact]
    public void Norms_of_heads_may_write_over_their_input_forwards_and_backwards()
    {
        Tensor weight = _t.Weight.Range(0, 16), other = _t.Weight.Range(16, 16);
        Tensor dQuery = _t.DWeight.Range(0, 16), dKey = _t.DBias.Range(0, 16);
        _ops.HeadNorm(_t.X, weight, other, 2, 1, 1e-6f, _t.Y, _t.HeadStats);
        float[] stats = _t.HeadStats.Span<float>().ToArray();
        _ops.Copy(_t.X, _t.Z);
        _ops.HeadNorm(_t.Z, weight, other, 2, 1, 1e-6f, _t.Z, _t.HeadStats);
        Assert.Equal(_t.Y.Span<float>(), _t.Z.Span<float>());
        Assert.Equal(stats, _t.HeadStats.Span<float>());

        _ops.HeadNormBackward(_t.Dy, _t.X, weight, other, _t.HeadStats, 2, 1, _t.Y, dQuery, dKey);
        float[] gradients = [.. dQuery.Span<float>(), .. dKey.Span<float>()];
        _ops.Fill(_t.DWeight, 0f);
        _ops.Fill(_t.DBias, 0f);
        _ops.Copy(_t.Dy, _t.Z);
        _ops.HeadNormBackward(_t.Z, _t.X, weight, other, _t.HeadStats, 2, 1, _t.Z, dQuery, dKey);
        Assert.Equal(_t.Y.Span<float>(), _t.Z.Span<float>());
        float[] again = [.. dQuery.Span<float>(), .. dKey.Span<float>()];
        Assert.Equal(gradients, again);
    }

    [Fact]
    public void Shapes_and_types_that_do_not_fit_are_refused_by_name()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => _ops.Add(_t.X, _t.X, _t.Weight));
        Assert.Contains("Add: y is F32[64]", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => _ops.Copy(_t.Ids, _t.Stats));
        Assert.Throws<ArgumentException>(() => _ops.Fill(_t.Ids, 1f));
        Assert.Throws<ArgumentException>(() => _ops.Fill(_t.X, 1));
        Assert.Throws<ArgumentException>(() => _ops.Rope(_t.X, 3, 32, _t.Ids, _t.Frequencies, inverse: false));
        Assert.Throws<ArgumentException>(() => _ops.Rope(_t.X, 1, 31, _t.Ids, _t.Frequencies, inverse: false));
        Assert.Throws<ArgumentException>(() => _ops.LayerNorm(_t.X, _t.Weight, _t.Weight, 0, _t.Y, _t.Stats2));
        Assert.Throws<ArgumentException>(() => _ops.HeadNorm(_t.X, _t.Weight, _t.Weight, 2, 1, 1e-6f, _t.Y, _t.HeadStats));
        Assert.Throws<ArgumentException>(() => _ops.HeadNorm(_t.X, _t.Weight, _t.Weight, 3, 2, 1e-6f, _t.Y, _t.HeadStats));
        Assert.Throws<ArgumentException>(() => _ops.GlobalNorm(_t.X, 0, _t.Clip));
        Assert.Throws<ArgumentException>(() => _ops.Cast(_t.X, _t.Z));
        Assert.Throws<ArgumentException>(() => _ops.AdamW(_t.X, _t.Dy, _t.M, _t.V, new AdamWSettings(0.9f, 0.95f, 1e-8f, 0), _t.Schedule, Tensor.None, _t.Z));
        Assert.Throws<ArgumentException>(() => _ops.Embedding(_t.Ids, _t.Table, _t.Ids, Tensor.None, _t.Y));
    }

    [Fact]
    public void A_copy_rounded_by_chance_is_right_on_average_and_differs_from_step_to_step()
    {
        const float Low = 1, High = 1 + 1 / 128f;
        AdamWSettings settings = new(0.9f, 0.95f, 1e-8f, 0, RoundsStochastically: true);
        _t.X.Span<float>().Fill(Low + (High - Low) / 4);
        float[] Round(int step, AdamWSettings chosen)
        {
            new[] { 0, 0.1f, 0.05f, step }.CopyTo(_t.Schedule.Span<float>());   // a rate of 0 leaves the weights alone
            _ops.AdamW(_t.X, _t.Dy, _t.M, _t.V, chosen, _t.Schedule, Tensor.None, _t.Rounded);
            _ops.Cast(_t.Rounded, _t.Y);
            return _t.Y.Span<float>().ToArray();
        }
        float[] first = Round(1, settings), again = Round(1, settings), second = Round(2, settings);
        Assert.Equal(first, again);
        Assert.NotEqual(first, second);
        Assert.All(first, value => Assert.True(value is Low or High));
        Assert.InRange(first.Average(value => (value - Low) / (High - Low)), 0.24, 0.26);
        Assert.All(Round(1, settings with { RoundsStochastically = false }), value => Assert.Equal(Low, value));
        _t.X.Span<float>()[6] = float.NaN;
        Assert.True(float.IsNaN(Round(3, settings)[6]));
    }

    [Fact]
    public void No_call_allocates()
    {
        Step();
        long native = _device.Allocations;
        Assert.Equal(0, Allocated.Bytes(Step));
        Assert.Equal(native, _device.Allocations);
    }

    private void Step()
    {
        _ops.Embedding(_t.Ids, _t.Table, _t.GoodIds, _t.Table, _t.Y);
        _ops.LayerNorm(_t.X, _t.Weight, _t.Weight, 1e-5f, _t.Y, _t.Stats2);
        _ops.LayerNormBackward(_t.Dy, _t.X, _t.Weight, _t.Stats2, _t.Z, _t.DWeight, _t.DBias);
        _ops.RmsNorm(_t.X, _t.Weight, 1e-5f, _t.Y, _t.Stats);
        _ops.RmsNormBackward(_t.Dy, _t.X, _t.Weight, _t.Stats, _t.Z, _t.DWeight);
        _ops.AddLayerNorm(_t.X, _t.Dy, _t.Weight, _t.Weight, 1e-5f, _t.Z, _t.Y, _t.Stats2);
        _ops.AddRmsNorm(_t.X, _t.Dy, _t.Weight, 1e-5f, _t.Z, _t.Y, _t.Stats);
        _ops.HeadNorm(_t.X, _t.Weight.Range(0, 16), _t.Weight.Range(16, 16), 2, 1, 1e-6f, _t.Y, _t.HeadStats);
        _ops.HeadNormBackward(
            _t.Dy, _t.X, _t.Weight.Range(0, 16), _t.Weight.Range(16, 16), _t.HeadStats, 2, 1, _t.Z,
            _t.DWeight.Range(0, 16), _t.DBias.Range(0, 16));
        _ops.Rope(_t.Y, 2, 32, _t.Ids, _t.Frequencies, inverse: true);
        _ops.Add(_t.X, _t.Y, _t.Y);
        _ops.Fill(_t.Z, 1.5f);
        _ops.Fill(_t.GoodIds, 2);
        _ops.Copy(_t.X, _t.Z);
        _ops.Gather(_t.Table, _t.Ids, _t.Y);
        _ops.GatherBackward(_t.Dy, _t.Ids, _t.DTable);
        _ops.EmbeddingBackward(_t.Dy, _t.Ids, _t.GoodIds, _t.DTable, _t.DTable);
        _ops.GlobalNorm(_t.Dy, 1, _t.Clip);
        _ops.AdamW(_t.X, _t.Dy, _t.M, _t.V, new AdamWSettings(0.9f, 0.95f, 1e-8f, 0.1f), _t.Schedule, _t.Clip, _t.Rounded);
        _ops.Cast(_t.Rounded, _t.Z);
    }

    private sealed class Tensors(Arena arena)
    {
        public Tensor X { get; } = arena.Take((Rows, Columns));

        public Tensor Y { get; } = arena.Take((Rows, Columns));

        public Tensor Z { get; } = arena.Take((Rows, Columns));

        public Tensor Dy { get; } = arena.Take((Rows, Columns));

        public Tensor M { get; } = arena.Take((Rows, Columns));

        public Tensor V { get; } = arena.Take((Rows, Columns));

        public Tensor Weight { get; } = arena.Take(Columns);

        public Tensor DWeight { get; } = arena.Take(Columns);

        public Tensor DBias { get; } = arena.Take(Columns);

        public Tensor Table { get; } = arena.Take((5, Columns));

        public Tensor DTable { get; } = arena.Take((5, Columns));

        public Tensor Ids { get; } = arena.Take(Rows, DType.I32);

        public Tensor GoodIds { get; } = arena.Take(Rows, DType.I32);

        public Tensor Stats { get; } = arena.Take(Rows);

        public Tensor HeadStats { get; } = arena.Take((Rows, 3));

        public Tensor Stats2 { get; } = arena.Take((Rows, 2));

        public Tensor Frequencies { get; } = arena.Take(16);

        public Tensor Schedule { get; } = arena.Take(4);

        public Tensor Rounded { get; } = arena.Take((Rows, Columns), DType.BF16);

        public Tensor Clip { get; } = arena.Take(2);
    }
}
