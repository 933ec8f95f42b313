using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// What an op is, said once: shapes, inputs, an oracle in float64, a cost. Tests check the op with it, benchmarks time it.
/// One case an op; a case is listed in <see cref="OpCases"/>.
/// </summary>
internal abstract class OpCase
{
    /// <summary>The op's name in snake case, with a suffix where an op has several cases.</summary>
    public abstract string Name { get; }

    /// <summary>
    /// The kernel files, without .cu, that the op uses on CUDA, forward and backward; by default the one that bears its name.
    /// A test holds this against what the op loads.
    /// </summary>
    public virtual IReadOnlyList<string> Kernels => [Snake(GetType().Name[..^"Case".Length])];

    /// <summary>Whether backward can be run: an input has a gradient.</summary>
    public bool HasBackward(CaseShape s) => Inputs(s).Any(input => input.Gradient != Gradient.None);

    /// <summary>Whether the op has activations that CUDA keeps as BF16 too; those operands bear <see cref="Activations"/> as their type.</summary>
    public virtual bool HasActivations => false;

    /// <summary>The type of the activations: F32, and BF16 on CUDA.</summary>
    public DType Activations { get; private set; } = DType.F32;

    /// <summary>The same case with activations of another type.</summary>
    public OpCase With(DType activations)
    {
        OpCase copy = (OpCase)MemberwiseClone();
        copy.Activations = activations;
        return copy;
    }

    /// <summary>Typical, odd (1, 3, 17, 257) and edge shapes. The first is the one that benchmarks time.</summary>
    public abstract IReadOnlyList<CaseShape> Shapes { get; }

    public abstract IReadOnlyList<Operand> Inputs(CaseShape s);

    public abstract IReadOnlyList<Operand> Outputs(CaseShape s);

    /// <summary>Calls the op. An output with <see cref="Operand.StartsAs"/> holds a copy of that input on entry.</summary>
    public abstract void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs);

    /// <summary>
    /// Calls the op's backward, for cases with inputs whose <see cref="Operand.Gradient"/> is not None. The spans match
    /// inputs and outputs; <paramref name="outputGradients"/> is None where an output is not differentiable, and
    /// <paramref name="inputGradients"/> where an input has no gradient. Checked against central differences of
    /// Σ outputGradient · Oracle.
    /// </summary>
    public virtual void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        throw new NotSupportedException($"{Name} has no backward.");

    /// <summary>The outputs, by the plainest code that can be written, in float64.</summary>
    public abstract double[][] Oracle(CaseShape s, double[][] inputs);

    /// <summary>The floor of forward: bytes that must move, with activations of their type, and floating-point operations that must be done.</summary>
    public abstract Cost Cost(CaseShape s);

    /// <summary>Largest Σ(x − oracle)² / Σ oracle² of an output or a gradient in fp32.</summary>
    public virtual double Tolerance => 1e-10;

    /// <summary>The same where activations are BF16: 8 bits of precision leave about 1e-6 a rounding.</summary>
    public virtual double BFloat16Tolerance => 1e-4;

    private static string Snake(string name) => string.Concat(name.Select((c, i) => (i > 0 && char.IsUpper(c) ? "_" : "") + char.ToLowerInvariant(c)));
}

/// <summary>The sizes of one run of a case, in the order that the case's author chose.</summary>
internal sealed record CaseShape(string Label, params int[] Sizes)
{
    public int this[int index] => Sizes[index];

    public override string ToString() => $"{Label} ({string.Join('x', Sizes)})";
}

/// <summary>How backward treats the gradient of an input.</summary>
internal enum Gradient
{
    None,

    /// <summary>Overwrites it, whatever was there.</summary>
    Written,

    /// <summary>Adds to it.</summary>
    Added,
}

/// <summary>One tensor of a case.</summary>
internal sealed record Operand(string Name, Shape Shape, DType Type = DType.F32)
{
    /// <summary>How an input's elements are drawn.</summary>
    public Draw Draw { get; init; } = Draws.Normal(1);

    /// <summary>For inputs.</summary>
    public Gradient Gradient { get; init; }

    /// <summary>The type of an input's gradient; a matrix that is BF16 has one in F32.</summary>
    public DType GradientType { get; init; } = Type;

    /// <summary>For outputs: whether the loss of the gradient check depends on it.</summary>
    public bool IsDifferentiable { get; init; }

    /// <summary>For outputs that are updated in place: the input whose values they hold on entry.</summary>
    public string? StartsAs { get; init; }

    /// <summary>
    /// For outputs that are themselves gradients (losses write theirs): the input that the sum of the differentiable
    /// outputs is differentiated by, checked against central differences of the oracle besides the oracle's own values.
    /// </summary>
    public string? GradientOf { get; init; }
}

/// <summary>Draws element <paramref name="index"/> of an input.</summary>
internal delegate double Draw(ref PhiloxStream random, int index);

internal static class Draws
{
    public static Draw Normal(double deviation) => (ref PhiloxStream random, int _) => deviation * random.NextNormal();

    public static Draw Uniform(double low, double high) => (ref PhiloxStream random, int _) => low + (high - low) * random.NextUniform();

    /// <summary>Integers from <paramref name="low"/> to <paramref name="high"/> − 1.</summary>
    public static Draw Integer(int low, int high) => (ref PhiloxStream random, int _) => low + random.NextInt(high - low);

    /// <summary>Values by their index, without chance.</summary>
    public static Draw Fixed(Func<int, double> value) => (ref PhiloxStream _, int index) => value(index);
}

internal readonly record struct Cost(long Bytes, long Flops);
