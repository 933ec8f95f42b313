using System.Globalization;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Whole-model gradient check, through the trainer's own step at a learning rate of 0. For each parameter tensor the
/// directional derivative of the loss (4-point central difference) is taken along the gradient and along a random
/// direction mixed with it, at two step sizes of which the better counts: a large one fails by curvature, a small one by
/// rounding. The gradient's own direction alone would miss an entry that is wrongly 0.
/// </summary>
public sealed class GradientTests(ITestOutputHelper output)
{
    private const double Tolerance = 1e-3;

    private static readonly int[] RowLengths = [11, 7, 4, 9];
    private static readonly int[] FirstLoss = [5, 3, 2, 4];
    private static readonly float[] Returns = [0.3f, 1, 0, -0.45f];
    private static readonly double[] StepSizes = [0.02, 0.1];

    public static TheoryData<string, string> Cases() => new()
    {
        { "gpt2", "language" },
        { "gpt2-untied", "language" },
        { "llama", "language" },
        { "qwen2", "language" },
        { "qwen3", "language" },
        { "gpt2", "V bernoulli" },
        { "llama", "V bernoulli" },
        { "qwen2", "V bernoulli" },
        { "gpt2", "Q categorical" },
        { "llama", "Q categorical" },
        { "qwen2", "Q categorical" },
        { "qwen2", "V categorical" },
        { "qwen3", "V categorical" },
        { "llama", "Q bernoulli" },
        { "gpt2", "V mean" },
    };

    [Theory, MemberData(nameof(Cases))]
    public void Gradient_is_the_slope_of_the_loss(string family, string head)
    {
        using CpuDevice device = new(1);
        using HeadedModel model = NewModel(Ops.For(device), TestModels.Config(family), head);
        ValueSettings? settings = (model as ValueModel)?.Settings;
        Method method = settings is null ? new PretrainMethod()
            : head.EndsWith("mean", StringComparison.Ordinal) ? new ControlledDecodingMethod() : new QSharpMethod(settings.Family);
        int[][] rows = [.. RowLengths.Select((length, row) => TestModels.RandomTokens(100 + (ulong)row, length, model.Config.Vocab))];
        FixedRows source = new(rows, FirstLoss, Returns, settings);
        OptimizerSettings still = new(new LearningRate(0, 0, 1));
        using Trainer trainer = new(model, method, source, still, rows.Length);
        trainer.FillBatch();

        List<string> failures = [];
        double worst = 0;
        trainer.RunStep();
        float[][] gradients = [.. trainer.Optimizer.Gradients.Named.Select(gradient => gradient.Value.Span<float>().ToArray())];
        for (int i = 0; i < gradients.Length; i++)
        {
            (string name, Tensor value, _) = model.Weights.Named[i];
            double[] along = Unit(gradients[i].Select(g => (double)g));
            PhiloxStream random = new(7, (ulong)i << 20);
            double[] other = new double[along.Length];
            // An op is most likely to err at the ends of a tensor, and one entry of many would drown, so the ends weigh more.
            for (int j = 0; j < other.Length; j++) other[j] = random.NextNormal() * (j < 4 || j >= other.Length - 4 ? 4 : 1);
            double[] mixed = Unit(Unit(other).Zip(along, (a, b) => a + b));
            double error = Math.Max(Error(trainer, value, gradients[i], along), Error(trainer, value, gradients[i], mixed));
            worst = Math.Max(worst, error);
            if (!(error < Tolerance)) failures.Add(string.Create(CultureInfo.InvariantCulture, $"{name} {error:0.0e+0}"));
        }
        string summary = string.Create(CultureInfo.InvariantCulture, $"worst of {gradients.Length} tensors {worst:0.0e+0}");
        output.WriteLine($"{family}, {head}: {summary}");
        Assert.True(failures.Count == 0, $"{family}, {head}: {string.Join(", ", failures)}");
    }

    private static HeadedModel NewModel(Ops ops, TransformerConfig config, string head)
    {
        if (head == "language") return TestModels.Language(ops, config, 1);
        bool isCategorical = head.EndsWith("categorical", StringComparison.Ordinal);
        ReturnFamily family = isCategorical ? ReturnFamily.Categorical(-1, 1, 5) : ReturnFamily.Bernoulli;
        HeadKind kind = head[0] == 'V' ? HeadKind.V : HeadKind.Q;
        return TestModels.Value(ops, config, new ValueSettings(kind, family, BidirectionalPrompt: true), 1);
    }

    /// <summary>Relative error of the slope along a direction, at the better of the two step sizes.</summary>
    private static double Error(Trainer trainer, Tensor value, float[] gradient, double[] direction)
    {
        double expected = gradient.Zip(direction, (g, d) => g * d).Sum(), best = double.PositiveInfinity;
        float[] saved = value.Span<float>().ToArray();
        foreach (double h in StepSizes)
        {
            double slope = (8 * (Loss(h) - Loss(-h)) - (Loss(2 * h) - Loss(-2 * h))) / (12 * h);
            double scale = Math.Max(Math.Abs(slope), Math.Abs(expected));
            best = Math.Min(best, scale == 0 ? 0 : Math.Abs(slope - expected) / scale);
        }
        saved.CopyTo(value.Span<float>());
        return best;

        double Loss(double step)
        {
            Span<float> values = value.Span<float>();
            for (int i = 0; i < saved.Length; i++) values[i] = (float)(saved[i] + step * direction[i]);
            return trainer.RunStep();
        }
    }

    /// <summary>A direction of length 1; zeros stay zeros.</summary>
    private static double[] Unit(IEnumerable<double> direction)
    {
        double[] values = [.. direction];
        double norm = Math.Sqrt(values.Sum(x => x * x));
        return norm == 0 ? values : [.. values.Select(x => x / norm)];
    }
}
