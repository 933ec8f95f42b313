using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

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

    /// <summary>A rule as plain numbers.</summary>
    private readonly struct DecodingLaw(GuidanceRule rule)
    {
        public readonly Tilt Tilt = rule.Tilt;
        public readonly ReturnFamily Family = rule.Family;
        public readonly float Lambda = rule.Lambda;
        public readonly Outside Outside = rule.Outside;
        public readonly float TopP = rule.TopP;
        public readonly bool IsGuided = rule.IsGuided;
        public readonly bool IsGreedy = rule.Temperature == 0;

        /// <summary>1/T.</summary>
        public readonly float Scale = rule.Temperature == 0 ? 1 : 1 / rule.Temperature;

        /// <summary>Whether temperature and top-p come after the tilt; it makes no difference to π_ref alone.</summary>
        public readonly bool TiltsFirst = rule.IsGuided && rule.Order == Order.TiltThenTemper;

        public readonly bool CutsTilted = rule.CutsTilted;
    }

    /// <summary>Log-weights of the returns, one row for all or one a row; or none.</summary>
    private readonly struct WeightTable(Tensor weights)
    {
        private readonly float* _first = weights.Floats();
        private readonly int _stride = weights.IsNone || weights.Shape.Rows == 1 ? 0 : weights.Shape.Last;

        public float* Row(int row) => _first + (long)row * _stride;
    }

    private struct TiltedSampleWork : IWork
    {
        public float* Reference;
        public int* Candidates;
        public float* ValueLogits;
        public WeightTable Weights;
        public float* PrefixTilt;
        public int* Streams;
        public int* Positions;
        public int* Next;
        public int* Chosen;
        public float* Statistics;
        public int Vocabulary;
        public int Slots;
        public ulong Key;
        public DecodingLaw Law;

        public readonly void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.NoInlining)]   // the side table is taken off the stack after each row
        private readonly void Row(int row)
        {
            int slots = Law.IsGuided ? Slots : 0;
            long* sorted = stackalloc long[slots];
            double* doubles = stackalloc double[2 * slots];
            float* floats = stackalloc float[3 * slots + ScoreRow.BlocksOf(Vocabulary)];
            int* tokens = stackalloc int[slots];
            SideTable side = new()
            {
                Tokens = tokens,
                LogWeights = doubles,
                LogShares = doubles + slots,
                Logits = floats,
                Tilts = floats + slots,
                Orders = floats + 2 * slots,
            };
            float* tops = floats + 3 * slots;
            float* x = Reference + (long)row * Vocabulary;
            if (slots > 0) FillSideTable(ref side, row, x, sorted);

            // 1. Sums of π_ref over the tokens outside and over the candidates, all relative to the largest logit.
            ScoreRow outside = new(x, Vocabulary) { PatchTokens = tokens, Patches = side.Count };
            ScoreSum outsideSum = outside.Sum(Law.Scale, tops);
            side.RaiseTops(tops, side.Logits);
            outside.Tops = tops;
            float origin = outsideSum.Max;
            for (int k = 0; k < side.Count; k++) origin = MathF.Max(origin, side.Logits[k]);
            if (float.IsNegativeInfinity(origin))
            {
                Finish(row, GumbelMax.FirstLegal(x, Vocabulary));
                return;
            }
            for (int k = 0; k < side.Count; k++) side.LogWeights[k] = ((double)side.Logits[k] - origin) * Law.Scale;
            double logTail = outsideSum.Log(origin, Law.Scale);
            double logAll = Tilts.LogSum(side.LogWeights, side.Count, logTail), logMass = logAll;

            // 2. Top-p on π_ref, unless it comes after the tilt.
            bool tiltsFirst = Law.TiltsFirst && side.Count > 0;
            if (Law.TopP < 1 && !tiltsFirst)
            {
                ScoreRow all = new(x, Vocabulary) { Tops = tops };
                outside.Support = Nucleus.Find(all, new ScoreSum(origin, Math.Exp(logAll)), Law.Scale, Law.TopP);
                logMass = Restrict(outside, side, side.Logits, origin, ref logTail);
            }

            // 3. The tilt of the tokens outside.
            for (int k = 0; k < side.Count; k++) side.LogShares[k] = side.LogWeights[k] - logMass;
            float prefix = PrefixTilt is null ? float.NaN : PrefixTilt[row];
            (double outsideTilt, double residual) = Tilts.OfOutside(
                Law.Outside, Law.Family, Law.Tilt, Law.Lambda, Weights.Row(row), side.Tilts, side.LogShares, side.Count, logTail - logMass, prefix);

            // 4. Top-p on π where it comes after the tilt; and π's support where it is less than all.
            double tiltScale = tiltsFirst ? Law.Scale : 1;
            if (tiltsFirst) logMass = RestrictTilted(ref outside, side, outsideSum, outsideTilt, origin, ref logTail);

            // 5. The normaliser of the tilt and the KL, from the side table alone (method notes §3.6).
            double outsideGamma = outsideTilt * tiltScale, logOutside = logTail - logMass + outsideGamma;
            for (int k = 0; k < side.Count; k++) side.LogShares[k] = side.LogWeights[k] - logMass + side.Tilts[k] * tiltScale;
            double logNormalizer = Tilts.LogSum(side.LogShares, side.Count, logOutside), kl = 0;
            if (logOutside > double.NegativeInfinity) kl = Math.Exp(logOutside - logNormalizer) * (outsideGamma - logNormalizer);
            for (int k = 0; k < side.Count; k++)
                if (side.LogShares[k] > double.NegativeInfinity)
                    kl += Math.Exp(side.LogShares[k] - logNormalizer) * (side.Tilts[k] * tiltScale - logNormalizer);

            // 6. The draw: candidates first, so that the pass over the others knows what it has to beat.
            (double best, int drawn) = DrawCandidate(side, tiltScale, row);
            int token = drawn < 0 ? -1 : side.Tokens[drawn];
            if (logOutside > double.NegativeInfinity)
            {
                float atLeast = (float)(best - outsideGamma);
                (float score, int other) = GumbelMax.Draw(
                    outside, origin, Law.Scale, Key, Streams[row], Positions[row], Law.IsGreedy, atLeast - MathF.Abs(atLeast) * 1e-6f);
                if (other >= 0 && (score + outsideGamma > best || (score + outsideGamma == best && other < token)))
                {
                    token = other;
                    drawn = -1;
                }
            }
            if (token < 0)
            {
                Finish(row, GumbelMax.FirstLegal(x, Vocabulary));
                return;
            }
            int slot = Finish(row, token);
            if (Statistics is null) return;
            double tilt = drawn >= 0 ? side.Tilts[drawn] : outsideTilt;
            double logReference = ((double)ScoreRow.Clean(x[token]) - origin) * Law.Scale - logMass;
            float* result = Statistics + (long)row * SampleStatistics.Count;
            result[SampleStatistics.LogPolicy] = (float)(logReference + tilt * tiltScale - logNormalizer);
            result[SampleStatistics.LogReference] = (float)logReference;
            result[SampleStatistics.Kl] = (float)Math.Max(kl, 0);
            result[SampleStatistics.KlFloor] = (float)(logAll - logMass);
            result[SampleStatistics.LogNormalizer] = (float)logNormalizer;
            result[SampleStatistics.Residual] = (float)residual;
            result[SampleStatistics.ChosenTilt] = double.IsNaN(residual) ? float.NaN : (float)tilt;
            (double mean, double variance) = drawn < 0
                ? default
                : Tilts.Moments(ValueLogits + ((long)row * Slots + slot) * Law.Family.Atoms, Law.Family, Law.Lambda, Weights.Row(row));
            result[SampleStatistics.TiltedMean] = (float)mean;
            result[SampleStatistics.TiltedVariance] = (float)variance;
        }

        /// <summary>The row's candidates by ascending token, with their logits and tilts.</summary>
        private readonly void FillSideTable(ref SideTable side, int row, float* x, long* sorted)
        {
            long first = (long)row * Slots;
            side.Count = Tilts.Sort(Candidates + first, Slots, Vocabulary, sorted);
            float* bySlot = side.Orders;
            Tilts.Of(ValueLogits + first * Law.Family.Atoms, Slots, Law.Family, Law.Tilt, Law.Lambda, Weights.Row(row), bySlot);
            for (int k = 0; k < side.Count; k++)
            {
                int token = (int)(sorted[k] >> 32);
                side.Tokens[k] = token;
                side.Logits[k] = ScoreRow.Clean(x[token]);
                side.Tilts[k] = bySlot[(int)sorted[k]];
            }
        }

        /// <summary>
        /// Takes the tokens outside of the support out of the side table and out of the tail's mass.
        /// </summary>
        /// <param name="orders">What the support cuts the candidates by.</param>
        /// <returns>ln of the mass left.</returns>
        private readonly double Restrict(in ScoreRow outside, in SideTable side, float* orders, float origin, ref double logTail)
        {
            for (int k = 0; k < side.Count; k++)
                if (!outside.Support.Contains(orders[k], side.Tokens[k])) side.LogWeights[k] = double.NegativeInfinity;
            if (logTail > double.NegativeInfinity && !outside.Support.IsAll) logTail = outside.Sum(Law.Scale).Log(origin, Law.Scale);
            return Tilts.LogSum(side.LogWeights, side.Count, logTail);
        }

        /// <summary>
        /// The support of the official order: top-p of exp((ℓ + g)/T). Scores are ordered less the tilt outside, so that all
        /// tokens but the candidates keep the logit that they are read with.
        /// </summary>
        [SkipLocalsInit]
        private readonly double RestrictTilted(
            ref ScoreRow outside, in SideTable side, ScoreSum outsideSum, double outsideTilt, float origin, ref double logTail)
        {
            bool isOpen = outsideTilt > double.NegativeInfinity;
            if (!isOpen) logTail = double.NegativeInfinity;
            double shift = isOpen ? outsideTilt : 0;
            for (int k = 0; k < side.Count; k++) side.Orders[k] = ScoreRow.Clean((float)(side.Logits[k] + (side.Tilts[k] - shift)));
            if (Law.TopP < 1 && isOpen)
            {
                side.RaiseTops(outside.Tops, side.Orders);
                float max = outsideSum.Max;
                for (int k = 0; k < side.Count; k++) max = MathF.Max(max, side.Orders[k]);
                for (int k = 0; k < side.Count; k++) side.LogShares[k] = ((double)side.Orders[k] - max) * Law.Scale;
                double total = Tilts.LogSum(side.LogShares, side.Count, outsideSum.Log(max, Law.Scale));
                ScoreRow all = outside;
                all.PatchValues = side.Orders;
                outside.Support = Nucleus.Find(all, new ScoreSum(max, Math.Exp(total)), Law.Scale, Law.TopP);
            }
            else if (Law.TopP < 1)
            {
                // Only candidates: as they lie by ascending token, their place decides ties as their token would.
                float* tops = stackalloc float[ScoreRow.BlocksOf(side.Count)];
                ScoreRow candidates = new(side.Orders, side.Count);
                ScoreSum sum = candidates.Sum(Law.Scale, tops);
                candidates.Tops = tops;
                Support support = Nucleus.Find(candidates, sum, Law.Scale, Law.TopP);
                outside.Support = support with { LastTie = support.LastTie < 0 ? -1 : side.Tokens[support.LastTie] };
            }
            return Restrict(outside, side, side.Orders, origin, ref logTail);
        }

        /// <summary>The best candidate's score with noise, and its place in the side table; −1 if none has weight.</summary>
        private readonly (double Score, int Index) DrawCandidate(in SideTable side, double tiltScale, int row)
        {
            double best = double.NegativeInfinity;
            int index = -1;
            for (int first = 0; first < side.Count; first += 8)
            {
                Vector256<int> tokens = default;
                int count = Math.Min(8, side.Count - first);
                for (int lane = 0; lane < count; lane++) tokens = tokens.WithElement(lane, side.Tokens[first + lane]);
                Vector256<float> noise = Law.IsGreedy ? default : GumbelNoise.At(Key, Streams[row], Positions[row], tokens);
                for (int lane = 0; lane < count; lane++)
                {
                    double score = side.LogWeights[first + lane] + side.Tilts[first + lane] * tiltScale + noise[lane];
                    if (!(score > best)) continue;
                    best = score;
                    index = first + lane;
                }
            }
            return (best, index);
        }

        /// <summary>Writes the token and its slot among the candidates; statistics are NaN until the caller knows better.</summary>
        private readonly int Finish(int row, int token)
        {
            Next[row] = token;
            int slot = Slots == 0 ? -1 : new ReadOnlySpan<int>(Candidates + (long)row * Slots, Slots).IndexOf(token);
            if (Chosen is not null) Chosen[row] = slot;
            if (Statistics is not null)
                new Span<float>(Statistics + (long)row * SampleStatistics.Count, SampleStatistics.Count).Fill(float.NaN);
            return slot;
        }
    }

    /// <summary>A row's candidates by ascending token, on the stack.</summary>
    private struct SideTable
    {
        public int Count;
        public int* Tokens;

        /// <summary>π_ref's logits.</summary>
        public float* Logits;

        /// <summary>g.</summary>
        public float* Tilts;

        /// <summary>What top-p orders by in the official order; scratch before.</summary>
        public float* Orders;

        /// <summary>(ℓ − origin)/T; −∞ outside of the support.</summary>
        public double* LogWeights;

        /// <summary>ln q, then ln q + g.</summary>
        public double* LogShares;

        public readonly void RaiseTops(float* tops, float* scores)
        {
            for (int k = 0; k < Count; k++)
            {
                float* top = tops + Tokens[k] / ScoreRow.BlockSize;
                *top = MathF.Max(*top, scores[k]);
            }
        }
    }
}
