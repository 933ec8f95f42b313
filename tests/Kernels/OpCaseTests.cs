using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>One theory over every op case and shape: an op that is listed is tested.</summary>
public class OpCaseTests
{
    private const int SampledElements = 40;

    public static TheoryData<string, int> Cases()
    {
        TheoryData<string, int> data = [];
        foreach (OpCase op in OpCases.All)
            for (int shape = 0; shape < op.Shapes.Count; shape++) data.Add(op.Name, shape);
        return data;
    }

    public static TheoryData<string, int> CasesWithGradients()
    {
        TheoryData<string, int> data = [];
        foreach (OpCase op in OpCases.All)
            for (int shape = 0; shape < op.Shapes.Count; shape++)
                if (HasGradients(op, op.Shapes[shape])) data.Add(op.Name, shape);
        return data;
    }

    [Theory, MemberData(nameof(Cases))]
    public void Forward_agrees_with_the_oracle_and_stays_inside_its_outputs(string name, int shape)
    {
        (OpCase op, CaseShape s) = Find(name, shape);
        using CpuDevice device = new(2);
        using CaseRun run = new(op, s, device);
        run.Forward();
        double[][] oracle = op.Oracle(s, run.InputValues);
        Assert.Equal(run.Outputs.Length, oracle.Length);
        for (int i = 0; i < oracle.Length; i++)
            AssertClose(op, s, op.Outputs(s)[i], oracle[i], CaseRun.Values(run.Outputs[i]));
        Assert.Null(run.Overflow());
        Assert.Null(run.ChangedInput());
    }

    [Theory, MemberData(nameof(Cases))]
    public void Results_are_bitwise_the_same_again_and_for_any_number_of_threads(string name, int shape)
    {
        (OpCase op, CaseShape s) = Find(name, shape);
        byte[][]? first = null;
        foreach (int threads in new[] { 1, 2, 2, 3 })
        {
            using CpuDevice device = new(threads);
            using CaseRun run = new(op, s, device);
            run.Forward();
            if (HasGradients(op, s)) run.Backward();
            byte[][] bytes = run.ResultBytes();
            first ??= bytes;
            for (int i = 0; i < bytes.Length; i++)
                Assert.True(bytes[i].AsSpan().SequenceEqual(first[i]), $"{name} {s}: result {i} differs with {threads} threads.");
        }
    }

    [Theory, MemberData(nameof(CasesWithGradients))]
    public void Backward_agrees_with_central_differences_of_the_oracle(string name, int shape)
    {
        (OpCase op, CaseShape s) = Find(name, shape);
        using CpuDevice device = new(2);
        using CaseRun run = new(op, s, device);
        run.Forward();
        if (op.HasBackward(s))
        {
            run.Backward();
            Assert.Null(run.Overflow());
            double[][] weights = run.OutputGradientValues;
            for (int i = 0; i < run.Inputs.Length; i++)
            {
                Operand input = op.Inputs(s)[i];
                if (input.Gradient == Gradient.None) continue;
                double[] gradient = CaseRun.Values(run.InputGradients[i]);
                if (input.Gradient == Gradient.Added)
                    for (int e = 0; e < gradient.Length; e++) gradient[e] -= run.InitialGradientValues[i][e];
                CheckGradient(op, s, run.InputValues, i, weights, gradient);
            }
        }
        for (int o = 0; o < run.Outputs.Length; o++)
        {
            if (op.Outputs(s)[o].GradientOf is not { } of) continue;
            int input = op.Inputs(s).ToList().FindIndex(operand => operand.Name == of);
            double[][] ones = [.. op.Outputs(s).Select(output => output.IsDifferentiable ? Enumerable.Repeat(1.0, (int)output.Shape.Count).ToArray() : [])];
            CheckGradient(op, s, run.InputValues, input, ones, CaseRun.Values(run.Outputs[o]));
        }
    }

    [Fact]
    public void Every_public_op_is_reached_by_a_case()
    {
        string source = string.Join('\n', Directory.EnumerateFiles(Path.Combine(Repository.Root, "src", "Kernels"), "*.Case.cs", SearchOption.AllDirectories).Select(File.ReadAllText));
        string[] ops = [.. typeof(Ops).GetMethods(System.Reflection.BindingFlags.Public | System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.DeclaredOnly)
            .Where(method => !method.IsSpecialName).Select(method => method.Name).Distinct()];
        Assert.NotEmpty(ops);
        Assert.All(ops, op => Assert.Contains($"ops.{op}(", source, StringComparison.Ordinal));
    }

    internal static bool HasGradients(OpCase op, CaseShape s) =>
        op.Inputs(s).Any(input => input.Gradient != Gradient.None) || op.Outputs(s).Any(output => output.GradientOf is not null);

    internal static (OpCase Op, CaseShape Shape) Find(string name, int shape)
    {
        OpCase op = OpCases.All.Single(op => op.Name == name);
        return (op, op.Shapes[shape]);
    }

    private static void AssertClose(OpCase op, CaseShape s, Operand operand, double[] expected, double[] actual)
    {
        (_, string? fault) = CaseCheck.Compare(op, s, operand, expected, actual);
        Assert.True(fault is null, fault);
    }

    /// <summary>Sampled elements one by one, and two random directions that see every element.</summary>
    private static void CheckGradient(OpCase op, CaseShape s, double[][] inputs, int input, double[][] weights, double[] gradient)
    {
        double[] x = inputs[input];
        Assert.Equal(x.Length, gradient.Length);
        Assert.All(gradient, value => Assert.True(double.IsFinite(value), $"{op.Name} {s}: a gradient is {value}."));
        if (x.Length == 0) return;
        PhiloxStream random = new(99);
        double scale = Math.Sqrt(gradient.Sum(g => g * g) / gradient.Length);
        double tolerance = Math.Max(Math.Sqrt(op.Tolerance) * 20, 2e-5);

        double Loss(Func<int, double> shift)
        {
            double[][] shifted = [.. inputs];
            shifted[input] = [.. x.Select((value, i) => value + shift(i))];
            double[][] outputs = op.Oracle(s, shifted);
            double sum = 0;
            for (int o = 0; o < outputs.Length; o++)
                for (int i = 0; i < weights[o].Length; i++) sum += weights[o][i] * outputs[o][i];
            return sum;
        }

        void Check(Func<int, double> direction, double analytic, double size, string what)
        {
            const double H = 1e-4;   // five-point stencil: error O(h⁴)
            double numeric = (8 * (Loss(i => H * direction(i)) - Loss(i => -H * direction(i))) - (Loss(i => 2 * H * direction(i)) - Loss(i => -2 * H * direction(i)))) / (12 * H);
            Assert.True(Math.Abs(numeric - analytic) <= tolerance * Math.Max(size, Math.Abs(numeric)) + 1e-7,
                $"{op.Name} {s}: d{op.Inputs(s)[input].Name} {what} is {analytic:g6}, central differences say {numeric:g6}.");
        }

        // Each check runs the whole oracle four times: fewer elements where that is dear.
        long affordable = 40_000_000 / Math.Max(op.Cost(s).Flops + x.Length, 1);
        int checks = (int)Math.Min(x.Length, Math.Clamp(affordable, 3, SampledElements));
        for (int c = 0; c < checks; c++)
        {
            int element = c == 0 ? 0 : c == 1 ? x.Length - 1 : x.Length == checks ? c - 1 : random.NextInt(x.Length);
            Check(i => i == element ? 1 : 0, gradient[element], scale, $"[{element}]");
        }
        for (int d = 0; d < 2; d++)
        {
            double[] direction = [.. x.Select(_ => (double)random.NextNormal())];
            double length = Math.Sqrt(direction.Sum(v => v * v));
            double analytic = direction.Select((v, i) => v / length * gradient[i]).Sum();
            Check(i => direction[i] / length, analytic, scale, "along a random direction");
        }
    }
}
