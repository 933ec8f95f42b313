using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>What came of checking a case.</summary>
/// <param name="Error">The largest Σ(x − right)² / Σ right² of an output or a gradient.</param>
/// <param name="Allowed">What it may be.</param>
/// <param name="Fault">A sentence with op, shape and tensor if something is wrong; null if all is right.</param>
internal sealed record CaseOutcome(double Error, double Allowed, string? Fault);

/// <summary>Checks an op case on a CUDA device: tests and `qsharp kernel --check` share it.</summary>
internal static class CaseCheck
{
    /// <summary>Bytes and FLOPs of a case above which the stand-in's checked build, at some hundred nanoseconds an access, takes too long.</summary>
    private const long MostWorkChecked = 1_000_000;

    /// <summary>Whether the stand-in's checked build runs the case in bearable time.</summary>
    public static bool CanCheckAccesses(OpCase op, CaseShape s) => op.Cost(s).Flops + op.Cost(s).Bytes <= MostWorkChecked;

    /// <summary>
    /// Runs the case twice. Outputs, poisoned before, must agree with the float64 oracle, and gradients with the CPU twin on
    /// the same values; both runs must give the same bits, write nothing outside their tensors and leave the inputs as they are.
    /// </summary>
    /// <exception cref="CudaException">The device refused or failed a launch.</exception>
    public static CaseOutcome Run(OpCase plain, CaseShape s, DType activations, CudaDevice device)
    {
        OpCase op = plain.With(activations);
        Tally tally = new(op, s);
        using CaseRun run = new(op, s, device);
        run.Forward();
        double[][] oracle = op.Oracle(s, run.InputValues);
        for (int i = 0; i < oracle.Length; i++) tally.Compare(op.Outputs(s)[i], oracle[i], CaseRun.Values(run.Outputs[i]));
        tally.Note(run.Overflow());
        tally.Note(run.ChangedInput());
        byte[][] forward = run.ResultBytes();
        using CaseRun again = new(op, s, device, run);
        again.Forward();
        tally.Repeats(forward, again.ResultBytes(), run.Outputs.Length);
        if (!op.HasBackward(s)) return tally.Outcome;
        using CpuDevice cpu = new(1);
        using CaseRun twin = new(plain, s, cpu, run);
        foreach (CaseRun each in (CaseRun[])[twin, run, again])
        {
            if (each == twin) each.Forward();
            each.Backward();
        }
        tally.Note(run.Overflow());
        for (int i = 0; i < run.InputGradients.Length; i++)
            if (!run.InputGradients[i].IsNone)
                tally.Compare(op.Inputs(s)[i], CaseRun.Values(twin.InputGradients[i]), CaseRun.Values(run.InputGradients[i]));
        tally.Repeats(run.ResultBytes(), again.ResultBytes(), int.MaxValue);
        return tally.Outcome;
    }

    /// <summary>Values that are finite may differ little on the whole, and all others must be the same.</summary>
    /// <returns>Σ(actual − expected)² / Σ expected², and a sentence if that is too much.</returns>
    public static (double Error, string? Fault) Compare(OpCase op, CaseShape s, Operand operand, double[] expected, double[] actual)
    {
        if (expected.Length != actual.Length) return (double.PositiveInfinity, $"{op.Name} {s}: {operand.Name} has {actual.Length} elements, but {expected.Length} are right.");
        double error = 0, size = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i].Equals(actual[i])) { size += double.IsFinite(expected[i]) ? expected[i] * expected[i] : 0; continue; }
            if (!double.IsFinite(expected[i]) || !double.IsFinite(actual[i]) || operand.Type == DType.I32)
                return (double.PositiveInfinity, $"{op.Name} {s}: {operand.Name}[{i}] is {actual[i]}, but {expected[i]} is right.");
            error += (expected[i] - actual[i]) * (expected[i] - actual[i]);
            size += expected[i] * expected[i];
        }
        double tolerance = Tolerance(op), relative = error == 0 ? 0 : error / Math.Max(size, 1e-300);
        return error <= tolerance * Math.Max(size, 1e-6 * Math.Max(expected.Length, 1)) ? (relative, null)
            : (relative, $"{op.Name} {s}: {operand.Name} is off by NMSE {relative:g3}, allowed {tolerance:g3}.");
    }

    private static double Tolerance(OpCase op) => op.Activations == DType.BF16 ? op.BFloat16Tolerance : op.Tolerance;

    /// <summary>The largest error and the first fault so far.</summary>
    private sealed class Tally(OpCase op, CaseShape s)
    {
        public CaseOutcome Outcome { get; private set; } = new(0, Tolerance(op), null);

        public void Compare(Operand operand, double[] expected, double[] actual)
        {
            (double error, string? fault) = CaseCheck.Compare(op, s, operand, expected, actual);
            Outcome = Outcome with { Error = Math.Max(Outcome.Error, error) };
            Note(fault);
        }

        public void Repeats(byte[][] first, byte[][] second, int count)
        {
            for (int i = 0; i < Math.Min(count, first.Length); i++)
                if (!first[i].AsSpan().SequenceEqual(second[i])) Note($"{op.Name} {s}: result {i} differs when the op runs again.");
        }

        public void Note(string? fault) => Outcome = Outcome with { Fault = Outcome.Fault ?? fault };
    }
}
