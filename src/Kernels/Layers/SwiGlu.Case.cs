using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, hidden width.</summary>
internal sealed class SwiGluCase : OpCase
{
    public override string Name => "swi_glu";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("training step", 1024, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257), new("wide", 2, 2056), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("gateUp", (s[0], 2 * s[1]), Activations) { Gradient = Gradient.Written, Draw = Draws.Normal(3) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1]), Activations) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.SwiGlu(inputs[0], outputs[0]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.SwiGluBackward(outputGradients[0], inputs[0], inputGradients[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = new double[s[0] * s[1]];
        for (int i = 0; i < y.Length; i++)
        {
            int at = i / s[1] * 2 * s[1] + i % s[1];
            double gate = inputs[0][at];
            y[i] = gate / (1 + Math.Exp(-gate)) * inputs[0][at + s[1]];
        }
        return [y];
    }

    public override Cost Cost(CaseShape s) => new(3L * Activations.Size() * s[0] * s[1], 20L * s[0] * s[1]);
}
