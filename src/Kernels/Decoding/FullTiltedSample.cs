using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// <see cref="TiltedSample"/> where the guide speaks of every token: the same law, statistics, noise and draw as with all V
    /// tokens as candidates, so <see cref="Outside"/> has no part in it. A token's value logits are read once: its tilt, the sums of the
    /// law and the draw are made in that visit, and no [B, V] result. Below top-p 1 the set is found first. In the order
    /// <see cref="Order.TemperThenTilt"/> that takes π_ref's logits alone, and value logits outside of it are not read; in the
    /// other order the set is one of tilted scores, which are kept in <paramref name="orders"/> and cost a second visit of its tokens.
    /// A token whose tilt is NaN is not drawn; a row that a weighted tilt leaves no token of is drawn from q, with ρ of NaN. An unguided rule is π_ref bit for bit.
    /// </summary>
    /// <param name="refLogits">[B, V].</param>
    /// <param name="valueLogits">[B, n, A, W] in tiles (see TokenTiles): W = 128, or one tile of at least V; None if unguided.</param>
    /// <param name="valueBias">[B, A], added to the value logits of every token; or None.</param>
    /// <param name="weights">For <see cref="Tilt.Weighted"/>: [B, R] or [1, R], as for AtomTilt; else None.</param>
    /// <param name="prefixTilt">[B] or None, as in <see cref="TiltedSample"/>: only ρ depends on it.</param>
    /// <param name="streams">[B] I32.</param>
    /// <param name="positions">[B] I32.</param>
    /// <param name="orders">[B, V], scratch, where <see cref="GuidanceRule.CutsTilted"/>; else None.</param>
    /// <param name="next">[B] I32.</param>
    /// <param name="statistics">[B, <see cref="SampleStatistics.Count"/>]; may be None.</param>
    public void FullTiltedSample(
        Tensor refLogits, Tensor valueLogits, Tensor valueBias, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor orders, Tensor next, Tensor statistics)
    {
        int rows = refLogits.Shape.Rows, vocabulary = refLogits.Shape.Last;
        Require(refLogits, rows, vocabulary);
        if (rows == 0) return;
        RequireRule(rule);
        TokenTiles tiles = rule.IsGuided
            ? RequireTiles(valueLogits, valueBias, rows, vocabulary, rule.Family.Atoms, nameof(FullTiltedSample)) : default;
        RequireWeights(rule.Tilt, rule.Family, weights, rows);
        if (!prefixTilt.IsNone) Require(prefixTilt, rows);
        Require(streams, rows, DType.I32);
        Require(positions, rows, DType.I32);
        if (rule.CutsTilted) Require(orders, rows, vocabulary);
        Require(next, rows, DType.I32);
        if (!statistics.IsNone) Require(statistics, rows, SampleStatistics.Count);
        using OpSpan traced = Traced(refLogits, valueLogits, valueBias, prefixTilt);
        if (rule.IsGuided)
            FullTiltedSampleCore(
                refLogits, valueLogits, valueBias, tiles, weights, prefixTilt, streams, positions, rule, key, orders, next, statistics);
        else
            TiltedSampleCore(
                refLogits, Tensor.None, Tensor.None, Tensor.None, Tensor.None, streams, positions, rule, key, next, Tensor.None, statistics);
    }

    private protected abstract void FullTiltedSampleCore(
        Tensor refLogits, Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor orders, Tensor next, Tensor statistics);
}

public sealed unsafe partial class CpuOps
{
    private protected override void FullTiltedSampleCore(
        Tensor refLogits, Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor orders, Tensor next, Tensor statistics)
    {
        FullTiltedSampleWork work = new()
        {
            Reference = refLogits.Floats(),
            ValueLogits = valueLogits.Floats(),
            ValueBias = valueBias.Floats(),
            Weights = new WeightTable(weights),
            PrefixTilt = prefixTilt.Floats(),
            Streams = streams.Ints(),
            Positions = positions.Ints(),
            Orders = orders.Floats(),
            Next = next.Ints(),
            Statistics = statistics.Floats(),
            Vocabulary = refLogits.Shape.Last,
            Tiles = tiles,
            Key = key,
            Law = new DecodingLaw(rule),
        };
        _workers.For(refLogits.Shape.Rows, Grain((12L + 10 * tiles.Atoms) * refLogits.Shape.Last), work);
    }

    private struct FullTiltedSampleWork : IWork
    {
        public float* Reference;
        public float* ValueLogits;
        public float* ValueBias;
        public WeightTable Weights;
        public float* PrefixTilt;
        public int* Streams;
        public int* Positions;
        public float* Orders;
        public int* Next;
        public float* Statistics;
        public int Vocabulary;
        public TokenTiles Tiles;
        public ulong Key;
        public DecodingLaw Law;

        public readonly void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.NoInlining)]   // what lies on the stack is taken off it after each row
        private readonly void Row(int row)
        {
            float* tops = stackalloc float[ScoreRow.BlocksOf(Vocabulary)], atoms = stackalloc float[Tiles.Atoms];
            float* x = Reference + (long)row * Vocabulary;
            float prefix = PrefixTilt is null ? float.NaN : PrefixTilt[row];
            TileTilts tilts = new(
                ValueLogits + row * Tiles.RowLength, ValueBias is null ? null : ValueBias + (long)row * Tiles.Atoms, Tiles, Vocabulary,
                Law.Family, Law.Tilt, Law.Lambda, Weights.Row(row), atoms);
            ScoreRow reference = new(x, Vocabulary), cut = reference;
            ScoreSum all = reference.Sum(Law.Scale, tops);
            Sweep sweep = new(this, row, all.Max, needsRest: !float.IsNaN(prefix));
            cut.Tops = tops;
            if (!all.IsEmpty)
            {
                ScoreSum cutSum = all;
                if (Law.CutsTilted)
                {
                    float* orders = Orders + (long)row * Vocabulary;
                    sweep.Order(reference, tilts, orders);
                    cut.Scores = orders;
                    cut.Tops = null;
                    cutSum = cut.Sum(Law.Scale, tops);
                    cut.Tops = tops;
                }
                cut.Support = Nucleus.Find(cut, cutSum, Law.Scale, Law.TopP);
                sweep.Draw(reference, cut, tilts);
            }
            (_, int token) = sweep.Noisy.Best;
            bool isUntilted = token < 0 && !all.IsEmpty && Law.Tilt == Tilt.Weighted;
            if (isUntilted)
            {
                // No token that may be drawn has a return with weight: the row is drawn from q.
                cut = reference;
                all = cut.Sum(Law.Scale, tops);
                cut.Tops = tops;
                cut.Support = Nucleus.Find(cut, all, Law.Scale, Law.TopP);
                sweep = new Sweep(this, row, all.Max, needsRest: false);
                sweep.Draw(reference, cut, default);
                (_, token) = sweep.Noisy.Best;
            }
            bool drew = token >= 0;
            Next[row] = drew ? token : GumbelMax.FirstLegal(x, Vocabulary);
            if (Statistics is null) return;
            float* result = Statistics + (long)row * SampleStatistics.Count;
            if (!drew)
            {
                new Span<float>(result, SampleStatistics.Count).Fill(float.NaN);
                return;
            }
            double logAll = Math.Log(all.Sum), logMass = cut.Support.IsAll ? logAll : sweep.Mass.Log;
            double tiltScale = Law.TiltsFirst ? Law.Scale : 1, tilt = isUntilted ? 0 : tilts.Of(token), logNormalizer = sweep.Law.Log - logMass;
            double mean = !Law.TiltsFirst && Law.Tilt != Tilt.Mean ? logNormalizer
                : Law.Tilt == Tilt.Mean ? sweep.Rest.Mean : sweep.Rest.Log - logAll;
            tilts.Atoms(token, atoms);
            bool isKnown = !float.IsNaN(prefix) && prefix > float.NegativeInfinity;
            new Drawn(
                ((double)ScoreRow.Clean(x[token]) - all.Max) * Law.Scale - logMass, tilt * tiltScale, sweep.Law.Mean - logNormalizer, logAll - logMass,
                logNormalizer, isUntilted ? double.NaN : isKnown ? prefix - mean : 0, isUntilted ? double.NaN : tilt,
                Tilts.Moments(atoms, Law.Family, Law.Lambda, Weights.Row(row))).Write(result);
        }

        /// <summary>The sums over a row's tokens and the draw, in blocks that stay in the first cache.</summary>
        private struct Sweep(in FullTiltedSampleWork work, int row, float origin, bool needsRest)
        {
            private readonly DecodingLaw _law = work.Law;

            /// <summary>q's mass in the support.</summary>
            public TiltSum Mass = new();

            /// <summary>π's: ln q + g, with g (g/T in the official order) as its value.</summary>
            public TiltSum Law = new();

            /// <summary>What ρ takes its mean from where that is not π's: q with g as its value, or q·e^g in the official order.</summary>
            public TiltSum Rest = new();

            public GumbelMax Noisy = new(work.Key, work.Streams[row], work.Positions[row], work.Law.IsGreedy);

            /// <summary>Writes the scores ℓ + g of all tokens, which the official order's top-p cuts.</summary>
            [SkipLocalsInit]
            public void Order(in ScoreRow reference, in TileTilts tilts, float* orders)
            {
                float* scores = stackalloc float[ScoreRow.BlockSize], g = stackalloc float[ScoreRow.BlockSize];
                int patch = 0;
                for (int block = 0; block < reference.Blocks; block++)
                {
                    int start = block * ScoreRow.BlockSize, count = reference.Load(block, ref patch, scores);
                    tilts.Of(start, count, scores, g);
                    int there = Math.Min(count, reference.Count - start);
                    for (int i = 0; i < there; i++) orders[start + i] = scores[i] + g[i];
                    if (needsRest) AddRest(scores, g, count);
                }
            }

            /// <summary>Sums and draws over the support.</summary>
            [SkipLocalsInit]
            public void Draw(in ScoreRow reference, in ScoreRow cut, in TileTilts tilts)
            {
                float* scores = stackalloc float[ScoreRow.BlockSize], g = stackalloc float[ScoreRow.BlockSize];
                float* tilted = stackalloc float[ScoreRow.BlockSize];
                Vector256<float> none = Vector256.Create(float.NegativeInfinity);
                float tiltScale = _law.TiltsFirst ? _law.Scale : 1;
                int patch = 0;
                for (int block = 0; block < cut.Blocks; block++)
                {
                    if (!cut.MayHold(block)) continue;
                    int start = block * ScoreRow.BlockSize, count = cut.Load(block, ref patch, scores);
                    if (_law.CutsTilted)
                    {
                        reference.Load(block, ref patch, tilted);
                        for (int i = 0; i < count; i += 8)
                            Vector256.ConditionalSelect(Vector256.GreaterThan(Vector256.Load(scores + i), none), Vector256.Load(tilted + i), none).Store(scores + i);
                    }
                    tilts.Of(start, count, scores, g);
                    if (needsRest && !_law.CutsTilted) AddRest(scores, g, count);
                    for (int i = 0; i < count; i += 8)
                    {
                        Vector256<float> logWeight = (Vector256.Load(scores + i) - Vector256.Create(origin)) * _law.Scale;
                        Vector256<float> gain = Vector256.Load(g + i) * tiltScale;
                        logWeight.Store(scores + i);
                        gain.Store(g + i);
                        ScoreRow.Clean(logWeight + gain).Store(tilted + i);
                    }
                    if (!cut.Support.IsAll) Mass.Add(scores, g, count);
                    Law.Add(tilted, g, count);
                    Noisy.Add(tilted, count, start, 0, 1);
                }
            }

            [SkipLocalsInit]
            private void AddRest(float* scores, float* g, int count)
            {
                if (!_law.TiltsFirst && _law.Tilt != Tilt.Mean) return;
                float* rest = stackalloc float[ScoreRow.BlockSize];
                for (int i = 0; i < count; i += 8)
                {
                    Vector256<float> logWeight = (Vector256.Load(scores + i) - Vector256.Create(origin)) * _law.Scale;
                    (_law.Tilt == Tilt.Mean ? logWeight : ScoreRow.Clean(logWeight + Vector256.Load(g + i))).Store(rest + i);
                }
                Rest.Add(rest, g, count);
            }
        }
    }
}
