using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// One step of guided decoding in one op: draws from π(y|x) ∝ π_ref(y|x) · exp(g(x, y)) and says what was drawn. The tilt g
    /// of the K candidates comes from their value logits (<see cref="AtomTilt"/>), that of all other tokens from
    /// <see cref="Outside"/>. π_ref's logits are read about twice, from cache the second time; no [B, V] result is made.
    /// <para>
    /// <see cref="Order.TemperThenTilt"/>: q = softmax(ℓ/T) on π_ref's own top-p set, renormalised; π ∝ q·exp(g).
    /// <see cref="Order.TiltThenTemper"/> (the official code): π ∝ exp((ℓ + g)/T), on the top-p set of π. There g of the tokens
    /// outside is found with q = softmax(ℓ/T) over all tokens; afterwards everything is said with q restricted to π's support
    /// S, so KL is KL(π ‖ q|S), KlFloor is −ln q(S), and LogNormalizer is the one of exp(g/T).
    /// In both, LogPolicy = LogReference + g (or g/T) − LogNormalizer at the drawn token.
    /// </para>
    /// <para>
    /// The draw is the argmax of ln q + g + Gumbel noise, ties lower id first; noise is a pure function of (key, stream,
    /// position, token), see GumbelNoise, so the naive chain of ops draws the same tokens. Temperature 0 takes the argmax
    /// without noise, and all laws and statistics are those of temperature 1.
    /// λ = 0 or <see cref="Tilt.None"/> is π_ref bit for bit: candidates, valueLogits and prefixTilt are then not read
    /// for the draw and may be None.
    /// </para>
    /// <para>
    /// A token whose logit is −∞ or NaN, or that lies outside of the top-p set, is never drawn. A row in which no token has
    /// weight gives its first token that is neither −∞ nor NaN (0 if there is none), with statistics of NaN. A candidate slot
    /// outside of [0, V) is empty; a row with empty slots only is drawn without a tilt. Candidates of a row must differ.
    /// A token whose tilt is −∞ is never drawn either; where that leaves no token any weight, the row is drawn from q without a
    /// tilt, and Residual and ChosenTilt are NaN.
    /// </para>
    /// </summary>
    /// <param name="refLogits">[B, V].</param>
    /// <param name="candidates">[B, K] I32, in any order, K at most 4096; None if unguided.</param>
    /// <param name="valueLogits">[B, K, A] ([B, K] does for A = 1); None if unguided.</param>
    /// <param name="weights">
    /// For <see cref="Tilt.Weighted"/>: log-weights of the returns, [B, R] or [1, R] for all rows, R = family.Returns; finite or
    /// −∞. Else None.
    /// </param>
    /// <param name="prefixTilt">
    /// [B] or None: the tilt of the prefix, in the tilt's own terms: ln W(x), or λ·E[Z] for <see cref="Tilt.Mean"/>: what
    /// ChosenTilt was one step before. NaN where not known.
    /// </param>
    /// <param name="streams">[B] I32: which sample a row is.</param>
    /// <param name="positions">[B] I32: which draw of the sample this is.</param>
    /// <param name="next">[B] I32.</param>
    /// <param name="chosen">[B] I32: the slot of next among the candidates, −1 if it is none of them; may be None.</param>
    /// <param name="statistics">[B, <see cref="SampleStatistics.Count"/>]; may be None.</param>
    public void TiltedSample(
        Tensor refLogits, Tensor candidates, Tensor valueLogits, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor next, Tensor chosen, Tensor statistics)
    {
        int rows = refLogits.Shape.Rows;
        Require(refLogits, rows, refLogits.Shape.Last);
        if (rows == 0) return;
        RequireRule(rule);
        if (rule.IsGuided || !candidates.IsNone) RequireCandidates(candidates, rows);
        if (rule.IsGuided) Require(valueLogits, checked((int)candidates.Count * rule.Family.Atoms));
        RequireWeights(rule.Tilt, rule.Family, weights, rows);
        if (!prefixTilt.IsNone) Require(prefixTilt, rows);
        Require(streams, rows, DType.I32);
        Require(positions, rows, DType.I32);
        Require(next, rows, DType.I32);
        if (!chosen.IsNone) Require(chosen, rows, DType.I32);
        if (!statistics.IsNone) Require(statistics, rows, SampleStatistics.Count);
        using OpSpan traced = Traced(refLogits, candidates, valueLogits, prefixTilt);
        TiltedSampleCore(refLogits, candidates, valueLogits, weights, prefixTilt, streams, positions, rule, key, next, chosen, statistics);
    }

    private protected abstract void TiltedSampleCore(
        Tensor refLogits, Tensor candidates, Tensor valueLogits, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor next, Tensor chosen, Tensor statistics);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TiltedSampleCore(
        Tensor refLogits, Tensor candidates, Tensor valueLogits, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor next, Tensor chosen, Tensor statistics)
    {
        TiltedSampleWork work = new()
        {
            Reference = refLogits.Floats(),
            Candidates = candidates.Ints(),
            ValueLogits = valueLogits.Floats(),
            Weights = new WeightTable(weights),
            PrefixTilt = prefixTilt.Floats(),
            Streams = streams.Ints(),
            Positions = positions.Ints(),
            Next = next.Ints(),
            Chosen = chosen.Ints(),
            Statistics = statistics.Floats(),
            Vocabulary = refLogits.Shape.Last,
            Slots = candidates.IsNone ? 0 : candidates.Shape.Last,
            Key = key,
            Law = new DecodingLaw(rule),
        };
        _workers.For(refLogits.Shape.Rows, Grain(12L * refLogits.Shape.Last), work);
    }
}
