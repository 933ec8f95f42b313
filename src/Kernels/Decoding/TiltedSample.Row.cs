using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public sealed unsafe partial class CpuOps
{
    /// <summary>Rows of TiltedSample: sums, top-p, the tilt outside, the normaliser, the draw, what is said of it.</summary>
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
            if (slots > 0)
            {
                Tilts.Of(
                    ValueLogits + (long)row * slots * Law.Family.Atoms, slots, Law.Family, Law.Tilt, Law.Lambda, Weights.Row(row), side.Orders);
                side.Fill(Candidates + (long)row * slots, slots, x, Vocabulary, sorted);
            }

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
            (double best, int drawn) = side.Draw(tiltScale, Key, Streams[row], Positions[row], Law.IsGreedy);
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
            (double Mean, double Variance) moments = drawn < 0
                ? default
                : Tilts.Moments(ValueLogits + ((long)row * Slots + slot) * Law.Family.Atoms, Law.Family, Law.Lambda, Weights.Row(row));
            new Drawn(
                ((double)ScoreRow.Clean(x[token]) - origin) * Law.Scale - logMass, tilt * tiltScale, kl, logAll - logMass, logNormalizer, residual,
                double.IsNaN(residual) ? double.NaN : tilt, moments).Write(StatisticsOf(row));
        }

        /// <summary>Takes the tokens outside of the support out of the side table and out of the tail's mass.</summary>
        /// <param name="orders">What the support cuts the candidates by.</param>
        /// <returns>ln of the mass left.</returns>
        private readonly double Restrict(in ScoreRow outside, in SideTable side, float* orders, float origin, ref double logTail)
        {
            side.Restrict(outside.Support, orders);
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

        /// <summary>Writes the token and its slot among the candidates; statistics are NaN until the caller knows better.</summary>
        private readonly int Finish(int row, int token)
        {
            Next[row] = token;
            int slot = Slots == 0 ? -1 : new ReadOnlySpan<int>(Candidates + (long)row * Slots, Slots).IndexOf(token);
            if (Chosen is not null) Chosen[row] = slot;
            if (Statistics is not null) new Span<float>(StatisticsOf(row), SampleStatistics.Count).Fill(float.NaN);
            return slot;
        }

        private readonly float* StatisticsOf(int row) => Statistics + (long)row * SampleStatistics.Count;
    }
}
