using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Checks that several ops of decoding share. Messages are made only when they are thrown, as ops allocate nothing.</summary>
public abstract partial class Ops
{
    /// <summary>Below a millionth a temperature only overflows; drawing without noise is what a rule's temperature 0 is for.</summary>
    private protected static void RequireTemperature(float temperature, [CallerMemberName] string op = "")
    {
        if (!(temperature >= 1e-6f && float.IsFinite(temperature)))
            Require(false, $"the temperature {temperature} is not at least 1e-6.", op);
    }

    private protected static void RequireTopP(float topP, [CallerMemberName] string op = "")
    {
        if (!(topP > 0 && topP <= 1)) Require(false, $"top-p {topP} is not in (0, 1].", op);
    }

    private protected static void RequireFamily(ReturnFamily family, float lambda, [CallerMemberName] string op = "")
    {
        bool isPossible = family.Kind == FamilyKind.Bernoulli ? family.Atoms == 1 : family.Atoms >= 2;
        if (!isPossible) Require(false, $"{family} has an impossible number of atoms.", op);
        if (!float.IsFinite(lambda)) Require(false, $"λ is {lambda}.", op);
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
        if (slots > Tilts.MostCandidates) Require(false, $"{slots} candidates are more than {Tilts.MostCandidates}.", op);
    }
}
