namespace QSharp.Kernels;

/// <summary>How the distribution Z(x, y) of the return is parameterised.</summary>
public enum FamilyKind
{
    /// <summary>One logit ℓ: the return is Max with probability σ(ℓ), else Min. The paper's choice for 0/1 rewards.</summary>
    Bernoulli,

    /// <summary>A logits over evenly spaced atoms from Min to Max, both ends included.</summary>
    Categorical,
}

/// <summary>The family of return distributions that a value head speaks of (Q♯ method notes §2.1).</summary>
/// <param name="Atoms">Outputs of the head: 1 for Bernoulli, at least 2 for categorical.</param>
public readonly record struct ReturnFamily(FamilyKind Kind, float Min, float Max, int Atoms)
{
    public static ReturnFamily Bernoulli { get; } = new(FamilyKind.Bernoulli, 0, 1, 1);

    public static ReturnFamily Categorical(float min, float max, int atoms) => new(FamilyKind.Categorical, min, max, atoms);

    /// <summary>How many returns have a probability: both ends for Bernoulli, else the atoms.</summary>
    public int Returns => Kind == FamilyKind.Bernoulli ? 2 : Atoms;

    /// <summary>Return <paramref name="index"/> of <see cref="Returns"/>, ascending.</summary>
    public float Return(int index) => Kind == FamilyKind.Bernoulli ? (index == 0 ? Min : Max) : Min + index * Step;

    /// <summary>E[Z] by one token's value logits, <see cref="Atoms"/> of them.</summary>
    public unsafe float Mean(ReadOnlySpan<float> logits)
    {
        fixed (float* first = logits) return (float)Tilts.Moments(first, this, 0, null).Mean;
    }

    /// <summary>Adds a share of a token's law to a law.</summary>
    /// <param name="logits">The token's value logits, <see cref="Atoms"/> of them.</param>
    /// <param name="law">One probability for each of <see cref="Returns"/>.</param>
    public void AddLaw(ReadOnlySpan<float> logits, double share, Span<double> law)
    {
        double max = 0, sum = 0;
        if (Kind == FamilyKind.Bernoulli)
        {
            double small = Math.Exp(-Math.Abs((double)logits[0])), likelier = 1 / (1 + small);
            law[logits[0] > 0 ? 1 : 0] += share * likelier;
            law[logits[0] > 0 ? 0 : 1] += share * likelier * small;
            return;
        }
        for (int i = 0; i < Atoms; i++) max = i == 0 ? logits[0] : Math.Max(max, logits[i]);
        for (int i = 0; i < Atoms; i++) sum += Math.Exp(logits[i] - max);
        for (int i = 0; i < Atoms; i++) law[i] += share * Math.Exp(logits[i] - max) / sum;
    }

    /// <summary>Adds a share of what <see cref="Ops.ReturnCrossEntropy"/> takes a return for to a law.</summary>
    /// <param name="law">One probability for each of <see cref="Returns"/>.</param>
    public void AddLabel(float value, Projection projection, double share, Span<double> law)
    {
        (int atom, float above) = Kind == FamilyKind.Bernoulli ? (0, Math.Clamp((value - Min) / (Max - Min), 0f, 1f)) : ReturnProjection.Of(value, this, projection);
        law[atom] += share * (1 - above);
        if (above != 0) law[atom + 1] += share * above;
    }

    /// <summary>Distance of neighbouring atoms (categorical).</summary>
    public float Step => (Max - Min) / (Atoms - 1);
}
