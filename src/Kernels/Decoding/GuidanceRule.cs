namespace QSharp.Kernels;

/// <summary>What is added to π_ref's log-probabilities.</summary>
public enum Tilt
{
    /// <summary>Nothing: π_ref alone.</summary>
    None,

    /// <summary>Q♯: ln E[exp(λZ)].</summary>
    LogMeanExp,

    /// <summary>Controlled decoding and value-augmented sampling: λ·E[Z].</summary>
    Mean,

    /// <summary>
    /// Any function of the reward: ln E[exp(h(Z))] by a table of log-weights h of the returns, one for all rows or one a row
    /// (method notes §7.4). λ is not read.
    /// </summary>
    Weighted,
}

/// <summary>The tilt of tokens that are not among the K candidates (method notes §3.3).</summary>
public enum Outside
{
    /// <summary>The exact tail mean, from ln W of the prefix and the candidates: the default.</summary>
    Martingale,

    /// <summary>0, as in the official Bernoulli code.</summary>
    Zero,

    /// <summary>The smallest tilt of the candidates, as in the official categorical code.</summary>
    Min,

    /// <summary>−∞: only candidates can be drawn, as in the official star-graph code.</summary>
    Truncate,

    /// <summary>The plain mean of the candidates' tilts, as in value-augmented sampling.</summary>
    Mean,
}

/// <summary>Whether π_ref's temperature and top-p come before the tilt (exact) or after it (official code) (§3.2).</summary>
public enum Order
{
    TemperThenTilt,
    TiltThenTemper,
}

/// <summary>How a step of guided decoding chooses: π(y|x) ∝ π_ref(y|x) · exp(tilt).</summary>
/// <param name="Lambda">λ = 1/η, the strength of the tilt.</param>
/// <param name="Temperature">Positive; 0 takes the most likely token of the temperature-1 law instead of drawing.</param>
/// <param name="TopP">In (0, 1]; 1 keeps every token.</param>
public sealed record GuidanceRule(
    Tilt Tilt, ReturnFamily Family, float Lambda, Outside Outside = Outside.Martingale,
    float Temperature = 1, float TopP = 1, Order Order = Order.TemperThenTilt)
{
    /// <summary>Most candidates of a row: their side table lies on the stack.</summary>
    public const int MostCandidates = 4096;

    /// <summary>π_ref alone, at a temperature and with its own top-p set.</summary>
    public static GuidanceRule Reference(float temperature = 1, float topP = 1) =>
        new(Tilt.None, ReturnFamily.Bernoulli, 0, Outside.Zero, temperature, topP);

    /// <summary>Whether the value model has any say; λ = 0 is π_ref bit for bit.</summary>
    public bool IsGuided => Tilts.IsTilted(Tilt, Lambda);

    /// <summary>Whether top-p cuts tilted scores rather than π_ref's own.</summary>
    public bool CutsTilted => IsGuided && Order == Order.TiltThenTemper && TopP < 1;
}

/// <summary>Columns of the statistics that a sampling step writes for each row.</summary>
public static class SampleStatistics
{
    /// <summary>ln π of the drawn token under the law it was drawn from.</summary>
    public const int LogPolicy = 0;

    /// <summary>ln q of the drawn token, q = π_ref after temperature, renormalised on its own top-p set.</summary>
    public const int LogReference = 1;

    /// <summary>KL(π ‖ q) of this step, in nats: exact, but of tokens that are drawn by rejection an estimate without bias, which may be below 0.</summary>
    public const int Kl = 2;

    /// <summary>−ln of π_ref's mass in the top-p set: what KL to the untruncated π_ref has on top. 0 when top-p is 1.</summary>
    public const int KlFloor = 3;

    /// <summary>ln Σ q(y) exp(g(y)), the normaliser of the tilt.</summary>
    public const int LogNormalizer = 4;

    /// <summary>
    /// ρ = ln W(x) − ln Σ q(y) W(x, y) over the candidates' share; 0 for an exact head, 0 where ln W(x) is not known or a W is 0;
    /// NaN where the tilt left no token any weight, so that the row was drawn from q.
    /// </summary>
    public const int Residual = 5;

    /// <summary>The tilt g of the drawn token: ln W of the next prefix under Q♯. NaN in a row that was drawn from q.</summary>
    public const int ChosenTilt = 6;

    /// <summary>Mean of Z at the drawn token under the tilted law (∝ p·exp(λz), or p·exp(h)); 0 for a token outside of the candidates.</summary>
    public const int TiltedMean = 7;

    /// <summary>Variance of Z at the drawn token under the tilted law.</summary>
    public const int TiltedVariance = 8;

    public const int Count = 9;
}
