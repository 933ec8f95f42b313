using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The tilt of the tokens that are not among the candidates, one for each row:
    /// <list type="bullet">
    /// <item>Martingale: W(x) is the q-mean of W(x, y) over all y, so the mean over the tail is
    /// W_out = (W(x) − Σ_K q W)/(1 − Σ_K q), clamped to [e^(λMin), e^(λMax)] (its ends exchanged for negative λ; the least and the
    /// largest weight of a table), and g = ln W_out; for
    /// <see cref="Tilt.Mean"/> the same of λ·E[Z]. Where the prefix is not known (NaN) the tail is taken to be like the
    /// candidates: their q-weighted mean. −∞ (no weight) where q's tail is at most 1e-6.</item>
    /// <item>Zero: 0. Min: the least g of the candidates. Mean: their plain mean. Truncate: −∞.</item>
    /// </list>
    /// ρ = the prefix's tilt − ln(Σ_K q W / Σ_K q): 0 if the candidates are as good as the prefix promised; 0 if that is not
    /// known or a W is 0. A row with empty slots only gives 0 and 0. A row whose tilts leave no token any weight is not tilted: its
    /// g and gOutside become 0, and ρ NaN.
    /// </summary>
    /// <param name="logReference">[B, V], ln q, normalised.</param>
    /// <param name="candidates">[B, K] I32; a slot outside of [0, V) is empty.</param>
    /// <param name="g">[B, K], the candidates' tilts; written where a row is not tilted.</param>
    /// <param name="weights">For <see cref="Tilt.Weighted"/>: [B, R] or [1, R], as for AtomTilt; else None.</param>
    /// <param name="prefixTilt">[B], ln W(x) (λ·E[Z] for Mean), NaN where not known; may be None.</param>
    /// <param name="gOutside">[B].</param>
    /// <param name="residual">[B], ρ; may be None.</param>
    public void OutsideTilt(
        Tensor logReference, Tensor candidates, Tensor g, Tensor weights, Tensor prefixTilt, GuidanceRule rule, Tensor gOutside, Tensor residual)
    {
        int rows = logReference.Shape.Rows;
        Require(logReference, rows, logReference.Shape.Last);
        if (rows == 0) return;
        RequireCandidates(candidates, rows);
        Require(g, rows, candidates.Shape.Last);
        RequireWeights(rule.Tilt, rule.Family, weights, rows);
        if (!prefixTilt.IsNone) Require(prefixTilt, rows);
        Require(gOutside, rows);
        if (!residual.IsNone) Require(residual, rows);
        RequireFamily(rule.Family, rule.Lambda);
        using OpSpan traced = Traced(logReference, candidates, g, prefixTilt);
        OutsideTiltCore(logReference, candidates, g, weights, prefixTilt, rule, gOutside, residual);
    }

    private protected abstract void OutsideTiltCore(
        Tensor logReference, Tensor candidates, Tensor g, Tensor weights, Tensor prefixTilt, GuidanceRule rule, Tensor gOutside, Tensor residual);
}

public sealed unsafe partial class CpuOps
{
    private protected override void OutsideTiltCore(
        Tensor logReference, Tensor candidates, Tensor g, Tensor weights, Tensor prefixTilt, GuidanceRule rule, Tensor gOutside, Tensor residual)
    {
        OutsideTiltWork work = new()
        {
            LogReference = logReference.Floats(),
            Candidates = candidates.Ints(),
            Tilts = g.Floats(),
            Weights = new WeightTable(weights),
            PrefixTilt = prefixTilt.Floats(),
            Outside = gOutside.Floats(),
            Residual = residual.Floats(),
            Vocabulary = logReference.Shape.Last,
            Slots = candidates.Shape.Last,
            Law = new DecodingLaw(rule),
        };
        _workers.For(logReference.Shape.Rows, Grain(6L * logReference.Shape.Last), work);
    }

    private struct OutsideTiltWork : IWork
    {
        public float* LogReference;
        public int* Candidates;
        public float* Tilts;
        public WeightTable Weights;
        public float* PrefixTilt;
        public float* Outside;
        public float* Residual;
        public int Vocabulary;
        public int Slots;
        public DecodingLaw Law;

        public readonly void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.NoInlining)]
        private readonly void Row(int row)
        {
            long* sorted = stackalloc long[Slots];
            double* logShares = stackalloc double[Slots];
            float* tilts = stackalloc float[Slots];
            int* tokens = stackalloc int[Slots];
            float* logs = LogReference + (long)row * Vocabulary;
            int count = Kernels.Tilts.Sort(Candidates + (long)row * Slots, Slots, Vocabulary, sorted);
            for (int k = 0; k < count; k++)
            {
                tokens[k] = (int)(sorted[k] >> 32);
                logShares[k] = ScoreRow.Clean(logs[tokens[k]]);
                tilts[k] = Tilts[(long)row * Slots + (int)sorted[k]];
            }
            // The tail is summed, not taken as 1 − Σ_K q, which would be rounding where the candidates hold nearly everything.
            double logTail = new ScoreRow(logs, Vocabulary) { PatchTokens = tokens, Patches = count }.Sum(1).Log(0, 1);
            float prefix = PrefixTilt is null ? float.NaN : PrefixTilt[row];
            (double tilt, double residual) = Kernels.Tilts.OfOutside(
                Law.Outside, Law.Family, Law.Tilt, Law.Lambda, Weights.Row(row), tilts, logShares, count, logTail, prefix);
            for (int k = 0; k < count; k++) Tilts[(long)row * Slots + (int)sorted[k]] = tilts[k];
            Outside[row] = (float)tilt;
            if (Residual is not null) Residual[row] = (float)residual;
        }
    }
}
