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

    /// <summary>Return of atom <paramref name="index"/> (categorical).</summary>
    public float Atom(int index) => Min + index * Step;

    /// <summary>E[Z] by one token's value logits, <see cref="Atoms"/> of them.</summary>
    public unsafe float Mean(ReadOnlySpan<float> logits)
    {
        fixed (float* first = logits) return (float)Tilts.Moments(first, this, 0).Mean;
    }

    /// <summary>Distance of neighbouring atoms (categorical).</summary>
    public float Step => (Max - Min) / (Atoms - 1);
}
