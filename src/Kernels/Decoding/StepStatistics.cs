using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The last op of the naive chain: <see cref="SampleStatistics"/> of a drawn token from the whole laws, as
    /// <see cref="TiltedSample"/> reports them: KL by a pass over both laws, the rest by look-up. The chain for a rule with
    /// temperature T (1 where the rule says 0), all of it writing [B, V] to memory, as a chain of logits processors does:
    /// <code>
    /// TemperThenTilt                                       TiltThenTemper
    /// TopP(refLogits, T, p, masked, logMass)               LogSoftmax(refLogits, T, logQ)
    /// LogSoftmax(masked, T, logQ)                          AtomTilt(valueLogits, family, tilt, λ, h, g)
    /// AtomTilt(valueLogits, family, tilt, λ, h, g)         OutsideTilt(logQ, candidates, g, h, prefix, rule, gOutside, residual)
    /// OutsideTilt(logQ, candidates, g, h, prefix, rule, …) Scatter(refLogits, candidates, g, gOutside, scores)
    /// Scatter(logQ, candidates, g, gOutside, scores)       TopP(scores, T, p, masked, None)
    /// LogSoftmax(scores, 1, logPolicy)                     LogSoftmax(masked, T, logPolicy)
    /// </code>
    /// then in both SampleRow(logPolicy, streams, positions, key, next), or TopK(logPolicy, next as [B, 1], None) where the
    /// rule's temperature is 0, and StepStatistics. Unguided: TopP and LogSoftmax of the left column, and logPolicy is logQ.
    /// </summary>
    /// <param name="logPolicy">[B, V], ln π, normalised.</param>
    /// <param name="logReference">[B, V], ln q, normalised. In the order TiltThenTemper it is restricted to π's support here.</param>
    /// <param name="logMass">[B], ln of what top-p kept of q; None where it was not applied to q.</param>
    /// <param name="next">[B] I32, the drawn tokens.</param>
    /// <param name="candidates">[B, K] I32; None if unguided.</param>
    /// <param name="valueLogits">[B, K, A]; None if unguided.</param>
    /// <param name="weights">h, the log-weights of a weighted tilt: [B, R] or [1, R]; else None.</param>
    /// <param name="g">[B, K]; None if unguided.</param>
    /// <param name="gOutside">[B]; None if unguided.</param>
    /// <param name="residual">[B]; None if unguided.</param>
    /// <param name="chosen">[B] I32, the slot of next among the candidates or −1; may be None.</param>
    /// <param name="statistics">[B, <see cref="SampleStatistics.Count"/>]; may be None.</param>
    public void StepStatistics(
        Tensor logPolicy, Tensor logReference, Tensor logMass, Tensor next, GuidanceRule rule,
        Tensor candidates, Tensor valueLogits, Tensor weights, Tensor g, Tensor gOutside, Tensor residual, Tensor chosen, Tensor statistics)
    {
        int rows = logPolicy.Shape.Rows;
        Require(logPolicy, rows, logPolicy.Shape.Last);
        if (rows == 0) return;
        RequireRule(rule);
        Require(logReference, rows, logPolicy.Shape.Last);
        if (!logMass.IsNone) Require(logMass, rows);
        Require(next, rows, DType.I32);
        if (rule.IsGuided || !candidates.IsNone) Require(candidates, rows, candidates.Shape.Last, DType.I32);
        if (rule.IsGuided)
        {
            Require(valueLogits, checked((int)candidates.Count * rule.Family.Atoms));
            Require(g, rows, candidates.Shape.Last);
            Require(gOutside, rows);
            Require(residual, rows);
        }
        RequireWeights(rule.Tilt, rule.Family, weights, rows);
        if (!chosen.IsNone) Require(chosen, rows, DType.I32);
        if (!statistics.IsNone) Require(statistics, rows, SampleStatistics.Count);
        using OpSpan traced = Traced(logPolicy, logReference, logMass, next);
        StepStatisticsCore(
            logPolicy, logReference, logMass, next, rule, candidates, valueLogits, weights, g, gOutside, residual, chosen, statistics);
    }

    private protected abstract void StepStatisticsCore(
        Tensor logPolicy, Tensor logReference, Tensor logMass, Tensor next, GuidanceRule rule,
        Tensor candidates, Tensor valueLogits, Tensor weights, Tensor g, Tensor gOutside, Tensor residual, Tensor chosen, Tensor statistics);
}

public sealed unsafe partial class CpuOps
{
    private protected override void StepStatisticsCore(
        Tensor logPolicy, Tensor logReference, Tensor logMass, Tensor next, GuidanceRule rule,
        Tensor candidates, Tensor valueLogits, Tensor weights, Tensor g, Tensor gOutside, Tensor residual, Tensor chosen, Tensor statistics)
    {
        StepStatisticsWork work = new()
        {
            LogPolicy = logPolicy.Floats(),
            LogReference = logReference.Floats(),
            LogMass = logMass.Floats(),
            Next = next.Ints(),
            Candidates = candidates.Ints(),
            ValueLogits = valueLogits.Floats(),
            Weights = new WeightTable(weights),
            Tilts = g.Floats(),
            Outside = gOutside.Floats(),
            Residual = residual.Floats(),
            Chosen = chosen.Ints(),
            Statistics = statistics.Floats(),
            Vocabulary = logPolicy.Shape.Last,
            Slots = candidates.IsNone ? 0 : candidates.Shape.Last,
            Law = new DecodingLaw(rule),
        };
        _workers.For(logPolicy.Shape.Rows, Grain(6L * logPolicy.Shape.Last), work);
    }

    private struct StepStatisticsWork : IWork
    {
        public float* LogPolicy;
        public float* LogReference;
        public float* LogMass;
        public int* Next;
        public int* Candidates;
        public float* ValueLogits;
        public WeightTable Weights;
        public float* Tilts;
        public float* Outside;
        public float* Residual;
        public int* Chosen;
        public float* Statistics;
        public int Vocabulary;
        public int Slots;
        public DecodingLaw Law;

        public readonly void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        private readonly void Row(int row)
        {
            int token = Next[row];
            int slot = Slots == 0 ? -1 : new ReadOnlySpan<int>(Candidates + (long)row * Slots, Slots).IndexOf(token);
            if (Chosen is not null) Chosen[row] = slot;
            if (Statistics is null) return;
            float* p = LogPolicy + (long)row * Vocabulary, q = LogReference + (long)row * Vocabulary;
            float* result = Statistics + (long)row * SampleStatistics.Count;
            (double kl, double mass) = Divergence(p, q);
            double logSupport = Law.TiltsFirst ? Math.Log(mass) : 0;
            double tilt = !Law.IsGuided ? 0 : slot >= 0 ? Tilts[(long)row * Slots + slot] : Outside[row];
            double logReference = q[token] - logSupport;
            (double mean, double variance) = Law.IsGuided && slot >= 0
                ? Kernels.Tilts.Moments(
                    ValueLogits + ((long)row * Slots + slot) * Law.Family.Atoms, Law.Family, Law.Lambda, Weights.Row(row))
                : default;
            result[SampleStatistics.LogPolicy] = p[token];
            result[SampleStatistics.LogReference] = (float)logReference;
            result[SampleStatistics.Kl] = (float)Math.Max(kl + logSupport, 0);
            result[SampleStatistics.KlFloor] = (float)(-logSupport - (LogMass is null ? 0 : LogMass[row]));
            result[SampleStatistics.LogNormalizer] = (float)(logReference - p[token] + tilt * (Law.TiltsFirst ? Law.Scale : 1));
            result[SampleStatistics.Residual] = Law.IsGuided ? Residual[row] : 0;
            // ρ is NaN where nothing was tilted because the tilt left no weight.
            result[SampleStatistics.ChosenTilt] = Law.IsGuided && float.IsNaN(Residual[row]) ? float.NaN : (float)tilt;
            result[SampleStatistics.TiltedMean] = (float)mean;
            result[SampleStatistics.TiltedVariance] = (float)variance;
        }

        /// <summary>Σ π (ln π − ln q) and Σ q over the tokens with π &gt; 0, in blocks that are added in double.</summary>
        [SkipLocalsInit]
        private readonly (double Kl, double Mass) Divergence(float* logPolicy, float* logReference)
        {
            float* p = stackalloc float[ScoreRow.BlockSize], q = stackalloc float[ScoreRow.BlockSize];
            ScoreRow policy = new(logPolicy, Vocabulary), reference = new(logReference, Vocabulary);
            double kl = 0, mass = 0;
            int patch = 0;
            for (int block = 0; block < policy.Blocks; block++)
            {
                int count = policy.Load(block, ref patch, p);
                reference.Load(block, ref patch, q);
                Vector256<float> klSum = default, massSum = default;
                for (int i = 0; i < count; i += 8)
                {
                    Vector256<float> log = Vector256.Load(p + i), other = Vector256.Load(q + i);
                    Vector256<float> isIn = Vector256.GreaterThan(log, Vector256.Create(float.NegativeInfinity));
                    klSum += isIn & (VectorMath.Exp(log) * (log - other));
                    massSum += isIn & VectorMath.Exp(other);
                }
                kl += Vector256.Sum(klSum);
                mass += Vector256.Sum(massSum);
            }
            return (kl, mass);
        }
    }
}
