using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Checks that several ops of decoding share.</summary>
public abstract partial class Ops
{
    /// <summary>Below a millionth a temperature only overflows; drawing without noise is what a rule's temperature 0 is for.</summary>
    private protected static void RequireTemperature(float temperature, [CallerMemberName] string op = "")
    {
        Require(temperature >= 1e-6f && float.IsFinite(temperature), $"the temperature {temperature} is not at least 1e-6.", op);
    }

    private protected static void RequireTopP(float topP, [CallerMemberName] string op = "")
    {
        Require(topP > 0 && topP <= 1, $"top-p {topP} is not in (0, 1].", op);
    }

    private protected static void RequireFamily(ReturnFamily family, float lambda, [CallerMemberName] string op = "")
    {
        bool isPossible = family.Kind == FamilyKind.Bernoulli ? family.Atoms == 1 : family.Atoms >= 2;
        Require(isPossible, $"{family} has an impossible number of atoms.", op);
        Require(float.IsFinite(lambda), $"λ is {lambda}.", op);
    }

    /// <summary>A weighted tilt has a table of log-weights, [1, R] or [rows, R]; no other tilt has.</summary>
    private protected void RequireWeights(Tilt tilt, ReturnFamily family, Tensor weights, int rows, [CallerMemberName] string op = "")
    {
        bool isWeighted = tilt == Tilt.Weighted;
        Require(weights.IsNone != isWeighted, isWeighted ? "a weighted tilt needs log-weights." : "log-weights are for a weighted tilt only.", op);
        if (isWeighted) Require(weights, weights.Shape.Rows == 1 ? 1 : rows, family.Returns, DType.F32, nameof(weights), op);
    }

    private protected static void RequireRule(GuidanceRule rule, [CallerMemberName] string op = "")
    {
        if (rule.Temperature != 0) RequireTemperature(rule.Temperature, op);
        RequireTopP(rule.TopP, op);
        if (rule.IsGuided) RequireFamily(rule.Family, rule.Lambda, op);
    }

    /// <summary>A row's candidates are sorted on the stack, so there is a most.</summary>
    private protected void RequireCandidates(Tensor candidates, int rows, [CallerMemberName] string op = "")
    {
        Require(!candidates.IsNone, "a guided rule needs candidates.", op);
        int slots = candidates.Shape.Last;
        Require(candidates, rows, slots, DType.I32, nameof(candidates), op);
        Require(slots <= GuidanceRule.MostCandidates, $"{slots} candidates are more than {GuidanceRule.MostCandidates}.", op);
    }
}
