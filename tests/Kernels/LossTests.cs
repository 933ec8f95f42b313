using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>What the loss ops promise beyond their cases: projections, rows that do not count, impossible tokens, digits.</summary>
public sealed class LossTests : IDisposable
{
    private const float Never = float.NegativeInfinity;

    private readonly CpuDevice _device = new(1);
    private readonly Ops _ops;
    private readonly List<DeviceBuffer> _buffers = [];

    public LossTests() => _ops = Ops.For(_device);

    [Fact]
    public void Two_hot_keeps_the_mean_and_errs_in_W_by_at_most_thirteen_percent_at_eleven_atoms_and_lambda_ten()
    {
        const double Lambda = 10;   // c = λΔ = 1: worst factor 1.131226, at share 0.418023
        ReturnFamily family = ReturnFamily.Categorical(0, 1, 11);
        double worst = 0, worstShare = 0;
        for (int i = 0; i <= 1000; i++)
        {
            double value = 0.3 + 0.1 * i / 1000;
            double[] target = Target(family, Projection.TwoHot, (float)value);
            Assert.Equal(value, Enumerable.Range(0, 11).Sum(a => target[a] * a / 10), 1e-6);
            double factor = Enumerable.Range(0, 11).Sum(a => target[a] * Math.Exp(Lambda * a / 10)) / Math.Exp(Lambda * value);
            Assert.InRange(factor, 1 - 1e-4, 1.1313);
            if (factor > worst) (worst, worstShare) = (factor, i / 1000.0);
        }
        Assert.Equal(1.131226, worst, 1e-4);
        Assert.Equal(0.418023, worstShare, 0.01);
    }

    /// <summary>As torch.round(r · (A − 1)) of the official code does it on these halves, which are exact in fp32.</summary>
    [Theory]
    [InlineData(0f, 0), InlineData(0.125f, 0), InlineData(0.375f, 2), InlineData(0.5f, 2), InlineData(0.625f, 2), InlineData(0.875f, 4)]
    [InlineData(1f, 4), InlineData(0.3f, 1), InlineData(0.4f, 2), InlineData(-3f, 0), InlineData(7f, 4)]
    public void Nearest_takes_the_even_atom_on_halves(float value, int atom)
    {
        double[] expected = new double[5];
        expected[atom] = 1;
        Assert.Equal(expected, Target(ReturnFamily.Categorical(0, 1, 5), Projection.Nearest, value).Select(q => Math.Round(q, 5)));
        Assert.Equal(expected, Target(ReturnFamily.Categorical(-2, 6, 5), Projection.Nearest, 8 * value - 2).Select(q => Math.Round(q, 5)));
    }

    [Theory]
    [InlineData(2), InlineData(3), InlineData(11), InlineData(51), InlineData(101)]
    public void Returns_on_atoms_have_one_target_in_both_projections(int atoms)
    {
        ReturnFamily family = ReturnFamily.Categorical(-1, 2, atoms);
        for (int atom = 0; atom < atoms; atom++)
        {
            double[] expected = new double[atoms];
            expected[atom] = 1;
            foreach (Projection projection in new[] { Projection.TwoHot, Projection.Nearest })
                Assert.All(Target(family, projection, family.Return(atom)).Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 2e-5));
        }
    }

    [Fact]
    public void Sinkhorns_divergence_lies_between_twice_the_mean_distance_and_the_energy_distance()
    {
        ReturnFamily family = ReturnFamily.Categorical(0, 1, 3);
        float[] logits = [MathF.Log(0.2f), MathF.Log(0.3f), MathF.Log(0.5f)];
        const double Distance = 0.2 * 0.25 + 0.3 * 0.25 + 0.5 * 0.75;                       // E|Z − 0.25|
        const double Spread = 2 * (0.2 * 0.3 * 0.5 + 0.3 * 0.5 * 0.5 + 0.2 * 0.5 * 1);    // E|Z − Z′|
        Assert.Equal(2 * Distance, Sinkhorn(0.005f), 1e-2);
        Assert.Equal(2 * Distance - Spread, Sinkhorn(1e4f), 1e-3);

        float Sinkhorn(float epsilon)
        {
            Tensor losses = Make([-1]);
            _ops.SinkhornDivergence(Make(logits), Make([0.25f]), Make([1]), family, epsilon, 1, losses, Tensor.None);
            return losses.Span<float>()[0];
        }
    }

    [Fact]
    public void Rows_that_do_not_count_are_zero_whatever_is_in_them()
    {
        float[] bad = [float.NaN, float.PositiveInfinity, Never, float.NaN];
        (float[] losses, float[] gradient) = Token([.. bad, .. bad], [-1, 2], [1, 0]);
        AssertZero(losses, gradient);
        foreach (float logit in bad)
        {
            (losses, gradient) = Return(ReturnFamily.Bernoulli, Projection.TwoHot, [logit], float.NaN, 0);
            AssertZero(losses, gradient);
            (losses, gradient) = Return(ReturnFamily.Categorical(0, 1, 2), Projection.TwoHot, [logit, logit], float.NaN, 0);
            AssertZero(losses, gradient);
            (losses, gradient) = Squared(logit, float.NaN, 0, Link.Sigmoid);
            AssertZero(losses, gradient);
        }
    }

    [Fact]
    public void What_cannot_occur_weighs_nothing_and_costs_nothing_where_it_is_not_the_target()
    {
        (float[] losses, float[] gradient) = Token([0, Never, 0], [2], [1]);
        Assert.Equal(MathF.Log(2), losses[0], 1e-6f);
        Assert.Equal([0.5f, 0, -0.5f], gradient);

        (losses, gradient) = Return(ReturnFamily.Categorical(0, 2, 3), Projection.TwoHot, [0, 0, Never], 1, 1);
        Assert.Equal(MathF.Log(2), losses[0], 1e-6f);
        Assert.Equal([0.5f, -0.5f, 0], gradient);

        (losses, gradient) = Return(ReturnFamily.Bernoulli, Projection.TwoHot, [Never], 0, 1);
        AssertZero(losses, gradient);
        (losses, gradient) = Return(ReturnFamily.Bernoulli, Projection.TwoHot, [Never], 1, 1);
        Assert.Equal((float.PositiveInfinity, -1f), (losses[0], gradient[0]));
    }

    [Fact]
    public void A_confident_and_right_head_keeps_its_digits()
    {
        foreach (float logit in new[] { 5f, 12f, 20f, 40f, 80f })
        {
            double loss = Math.Log(1 + Math.Exp(-logit)), probability = 1 / (1 + Math.Exp(logit));
            if (logit > 30) loss = Math.Exp(-logit);
            (float[] losses, float[] gradient) = Return(ReturnFamily.Bernoulli, Projection.TwoHot, [logit], 1, 1);
            Assert.InRange(losses[0] / loss, 1 - 1e-5, 1 + 1e-5);
            Assert.InRange(-gradient[0] / probability, 1 - 1e-5, 1 + 1e-5);
            (losses, gradient) = Return(ReturnFamily.Bernoulli, Projection.TwoHot, [-logit], 0, 1);
            Assert.InRange(losses[0] / loss, 1 - 1e-5, 1 + 1e-5);
            Assert.InRange(gradient[0] / probability, 1 - 1e-5, 1 + 1e-5);
        }
    }

    [Fact]
    public void A_return_or_logit_that_is_NaN_is_seen()
    {
        foreach (Projection projection in new[] { Projection.TwoHot, Projection.Nearest })
        {
            Assert.Equal(float.NaN, Return(ReturnFamily.Categorical(0, 1, 3), projection, [1, 2, 3], float.NaN, 1).Losses[0]);
            Assert.Equal(float.NaN, Return(ReturnFamily.Bernoulli, projection, [1], float.NaN, 1).Losses[0]);
        }
        Assert.Equal(float.NaN, Return(ReturnFamily.Bernoulli, Projection.TwoHot, [float.NaN], 1, 1).Losses[0]);
        Assert.Equal(float.NaN, Token([1, float.NaN, 3], [2], [1]).Losses[0]);
        Assert.Equal(float.NaN, Token([.. Enumerable.Repeat(0f, 20), float.NaN, .. Enumerable.Repeat(0f, 20)], [2], [1]).Losses[0]);
    }

    [Theory]
    [InlineData(3), InlineData(-2), InlineData(int.MaxValue), InlineData(int.MinValue)]
    public void Ids_outside_of_the_vocabulary_are_named(int id)
    {
        string message = Assert.Throws<ArgumentException>(() => Token([1, 2, 3, 4, 5, 6], [0, id], [1, 1])).Message;
        Assert.Contains($"token {id} at 1", message, StringComparison.Ordinal);
        Tensor logits = Make([1, 2, 3, 4, 5, 6]).As((2, 3)), tokens = MakeInts([0, id]), a = Make([0, 0]), b = Make([0, 0]);
        message = Assert.Throws<ArgumentException>(() => _ops.LogProbs(logits, tokens, a, b)).Message;
        Assert.Contains($"token {id} at 1 is neither −1 nor an id of the 3 tokens", message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => _ops.LogProbsBackward(a, logits, tokens, b, logits));
    }

    [Fact]
    public void Families_and_shapes_that_do_not_fit_are_refused()
    {
        Tensor three = Make([1, 2, 3]), one = Make([1]);
        void Refuses(Tensor logits, Tensor returns, ReturnFamily family) => Assert.Throws<ArgumentException>(
            () => _ops.ReturnCrossEntropy(logits, returns, one, family, Projection.TwoHot, one, Tensor.None));
        Refuses(three, one, new ReturnFamily(FamilyKind.Bernoulli, 0, 1, 3));
        Refuses(one, one, ReturnFamily.Categorical(0, 1, 1));
        Refuses(three, one, ReturnFamily.Categorical(1, 1, 3));
        Refuses(three, three, ReturnFamily.Categorical(0, 1, 3));
        Assert.Throws<ArgumentException>(() => _ops.TokenCrossEntropy(Tensor.None, MakeInts([0]), one, one, Tensor.None));
        Assert.Throws<ArgumentException>(() => _ops.SquaredError(three, three, three, (Link)7, three, Tensor.None));
    }

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers) buffer.Dispose();
        _device.Dispose();
    }

    private static void AssertZero(float[] losses, float[] gradient) => Assert.All(losses.Concat(gradient), value => Assert.Equal(0f, value));

    /// <summary>The target that a return becomes, read from the gradient softmax − q at equal logits.</summary>
    private double[] Target(ReturnFamily family, Projection projection, float value) =>
        [.. Return(family, projection, new float[family.Atoms], value, 1).Gradient.Select(g => 1.0 / family.Atoms - g)];

    private (float[] Losses, float[] Gradient) Return(ReturnFamily family, Projection projection, float[] logits, float value, float weight)
    {
        Tensor x = Make(logits), losses = Make([-1]), gradient = Make(new float[logits.Length]);
        _ops.ReturnCrossEntropy(x, Make([value]), Make([weight]), family, projection, losses, gradient);
        return (losses.Span<float>().ToArray(), gradient.Span<float>().ToArray());
    }

    private (float[] Losses, float[] Gradient) Token(float[] logits, int[] targets, float[] weights)
    {
        Tensor x = Make(logits).As((targets.Length, logits.Length / targets.Length)), losses = Make(new float[targets.Length]);
        _ops.TokenCrossEntropy(x, MakeInts(targets), Make(weights), losses, x);
        return (losses.Span<float>().ToArray(), x.Span<float>().ToArray());
    }

    private (float[] Losses, float[] Gradient) Squared(float output, float target, float weight, Link link)
    {
        Tensor losses = Make([-1]), gradient = Make([-1]);
        _ops.SquaredError(Make([output]), Make([target]), Make([weight]), link, losses, gradient);
        return (losses.Span<float>().ToArray(), gradient.Span<float>().ToArray());
    }

    private Tensor Make(float[] values)
    {
        Tensor tensor = new(Allocate(values.Length), 0, DType.F32, values.Length);
        _device.Upload<float>(values, tensor);
        return tensor;
    }

    private Tensor MakeInts(int[] values)
    {
        Tensor tensor = new(Allocate(values.Length), 0, DType.I32, values.Length);
        _device.Upload<int>(values, tensor);
        return tensor;
    }

    private DeviceBuffer Allocate(int count)
    {
        DeviceBuffer buffer = _device.Allocate(4L * count);
        _buffers.Add(buffer);
        return buffer;
    }
}
