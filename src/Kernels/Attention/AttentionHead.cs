using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// The queries of one head against the keys of one sequence, for the CPU twins of attention and cached attention.
/// What a query sees is always a prefix of the keys, and never less than the query before it sees: <see cref="Visible"/>.
/// Tiles of 32 queries by 64 keys with the running softmax of FlashAttention (Dao et al. 2022). Scores are kept as
/// [key, query], so that a vector holds eight queries: then the maximum and the sum of the softmax need no work across
/// lanes, keys and values are read where they lie, and only the queries are transposed, once a tile.
/// </summary>
internal readonly unsafe struct AttentionHead
{
    public const int QueryTile = 32;
    public const int KeyTile = 64;

    /// <summary>Floats of scratch that <see cref="Attend"/> needs, the alignment included.</summary>
    public static int ScratchSize(int headDim) => QueryTile * headDim + KeyTile * QueryTile + 3 * QueryTile + 16;

    public float* Q { get; init; }             // [Queries, HeadDim], rows QStride apart

    public nint QStride { get; init; }

    public float* K { get; init; }             // [as many as the last query sees, HeadDim], rows KvStride apart

    public float* V { get; init; }

    public nint KvStride { get; init; }

    public float* PromptK { get; init; }       // [PromptKeys, HeadDim], rows KvStride apart: keys elsewhere that every query sees, first

    public float* PromptV { get; init; }

    public int PromptKeys { get; init; }

    public int HeadDim { get; init; }

    public int Queries { get; init; }

    /// <summary>Query t sees the first max(Floor, t + Shift) keys.</summary>
    public int Floor { get; init; }

    public int Shift { get; init; }

    public float Scale => 1 / MathF.Sqrt(HeadDim);

    /// <summary>The same queries against the prompt's keys.</summary>
    private AttentionHead Prompt => this with { K = PromptK, V = PromptV, Floor = PromptKeys, Shift = -Queries };

    public int Visible(int query) => Math.Max(Floor, query + Shift);

    /// <summary>The first query that sees this key.</summary>
    public int FirstToSee(int key) => key < Floor ? 0 : Math.Max(0, key - Shift + 1);

    /// <summary>y = softmax(QKᵀ/√D)·V.</summary>
    /// <param name="own">Null, or keys of [Queries, HeadDim], one for each query, which sees it besides the prefix.</param>
    /// <param name="ownV">The values that belong to own; both have rows KvStride apart.</param>
    /// <param name="y">[Queries, HeadDim], rows yStride apart.</param>
    /// <param name="logSumExp">[Queries], or null.</param>
    /// <param name="scratch"><see cref="ScratchSize"/> floats.</param>
    public void Attend(float* own, float* ownV, float* y, nint yStride, float* logSumExp, float* scratch)
    {
        float* qt = Align(scratch);
        float* scores = qt + QueryTile * HeadDim;
        float* maxima = scores + KeyTile * QueryTile;
        float* sums = maxima + QueryTile;
        float* factors = sums + QueryTile;
        for (int t0 = 0; t0 < Queries; t0 += QueryTile)
        {
            int count = Math.Min(QueryTile, Queries - t0);
            Transposed.Copy(Q + t0 * QStride, QStride, count, HeadDim, Scale, qt);
            float* yTile = y + t0 * yStride;
            bool started = own != null;
            if (started)
                StartWithOwn(own + t0 * KvStride, ownV + t0 * KvStride, t0, count, maxima, sums, yTile, yStride);
            else
            {
                new Span<float>(maxima, QueryTile).Fill(float.NegativeInfinity);
                new Span<float>(sums, QueryTile).Clear();
            }
            if (PromptKeys > 0) started = Prompt.AddKeys(t0, count, qt, scores, maxima, sums, factors, yTile, yStride, started);
            AddKeys(t0, count, qt, scores, maxima, sums, factors, yTile, yStride, started);
            for (int i = 0; i < count; i += 8)
            {
                Vector256<float> sum = Vector256.Load(sums + i);
                (Vector256<float>.One / sum).Store(factors + i);
                (Vector256.Load(maxima + i) + VectorMath.Log(sum)).Store(maxima + i);
            }
            for (int i = 0; i < count; i++) Multiply(yTile + i * yStride, factors[i], HeadDim);
            if (logSumExp != null) new ReadOnlySpan<float>(maxima, count).CopyTo(new Span<float>(logSumExp + t0, count));
        }
    }

    /// <summary>Goes on with the running softmax of a tile of queries over all the keys that they see.</summary>
    /// <param name="started">Whether y holds anything yet.</param>
    /// <returns>Whether y holds anything now.</returns>
    private bool AddKeys(
        int t0, int count, float* qt, float* scores, float* maxima, float* sums, float* factors, float* y, nint yStride, bool started)
    {
        int keys = Visible(t0 + count - 1);
        for (int k0 = 0; k0 < keys; k0 += KeyTile)
        {
            int block = Math.Min(KeyTile, keys - k0);
            Products(K + k0 * KvStride, qt, t0, count, k0, block, scores);
            for (int group = 0; group < count; group += 8)
                Softmax(t0 + group, t0 + count, k0, block, scores + group, maxima + group, sums + group, factors + group);
            for (int i = 0; i < count; i += 4)
            {
                int rows = Math.Min(4, count - i);
                int depth = Math.Min(Visible(t0 + i + rows - 1) - k0, block);
                if (depth <= 0) continue;
                float* yRows = y + i * yStride;
                if (started)
                    for (int row = 0; row < rows; row++) Multiply(yRows + row * yStride, factors[i + row], HeadDim);
                TileProduct.Multiply(
                    scores + i, 1, QueryTile, V + k0 * KvStride, KvStride, yRows, yStride, rows, depth, HeadDim, started);
            }
            started = true;
        }
        return started;
    }

    /// <summary>out[k, t] = Σ_d rows[k, d] · columns[d, t] for every key of the block and, by eights, the queries that see it.</summary>
    public void Products(float* rows, float* columns, int t0, int count, int k0, int block, float* products)
    {
        int padded = (count + 7) & ~7;
        for (int s = 0; s < block; s += 4)
        {
            int begin = Math.Max(0, FirstToSee(k0 + s) - t0) & ~7;
            if (begin >= padded) return;
            TileProduct.Multiply(
                rows + s * KvStride, KvStride, 1, columns + begin, QueryTile, products + s * QueryTile + begin, QueryTile,
                Math.Min(4, block - s), HeadDim, padded - begin, false);
        }
    }

    /// <summary>How many keys of a block queries first … first + 7 see; a query past the end counts as the last.</summary>
    public Vector256<int> VisibleOfEight(int first, int end, int k0)
    {
        Vector256<int> query = Vector256.Min(Vector256.Create(first) + Vector256<int>.Indices, Vector256.Create(end - 1));
        return Vector256.Max(Vector256.Create(Floor), query + Vector256.Create(Shift)) - Vector256.Create(k0);
    }

    /// <summary>
    /// eˣ for x ≤ 0, as scores less their maximum are (or less their logSumExp, but for rounding): half the instructions of
    /// <see cref="VectorMath.Exp"/>, with its polynomial. Exactly 0 below −87.33; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Weight(Vector256<float> x)
    {
        // Added to 1.5·2²³, a number is rounded to an integer that stands in the low bits of the sum.
        Vector256<float> magic = Vector256.Create(12582912f), lowest = Vector256.Create(-87.33f);
        Vector256<float> clamped = Vector256.MaxNative(lowest, x);
        Vector256<float> shifted = Vector256.MultiplyAddEstimate(clamped, Vector256.Create(1.44269504f), magic);
        Vector256<float> n = shifted - magic;
        Vector256<float> r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-0.693359375f), clamped);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(2.12194440e-4f), r);
        Vector256<float> p = Vector256.Create(1.9875691500e-4f);
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.MultiplyAddEstimate(p, r * r, r + Vector256<float>.One);
        Vector256<float> power = ((shifted.AsInt32() << 23) + Vector256<float>.One.AsInt32()).AsSingle();
        return Vector256.AndNot(p * power, Vector256.LessThan(x, lowest));
    }

    public static void Multiply(float* x, float factor, int count)
    {
        int i = 0;
        for (; i + 8 <= count; i += 8) (factor * Vector256.Load(x + i)).Store(x + i);
        for (; i < count; i++) x[i] *= factor;
    }

    /// <summary>The next multiple of 64 bytes.</summary>
    public static float* Align(float* scratch) => (float*)(((nint)scratch + 63) & ~63);

    /// <summary>Lets each query see one key of its own: a softmax over one score, which the prefix joins afterwards.</summary>
    private void StartWithOwn(float* own, float* ownV, int t0, int count, float* maxima, float* sums, float* y, nint yStride)
    {
        new Span<float>(maxima, QueryTile).Clear();
        new Span<float>(sums, QueryTile).Fill(1);
        for (int i = 0; i < count; i++)
        {
            maxima[i] = Scale * VectorMath.Dot(Q + (t0 + i) * QStride, own + i * KvStride, HeadDim);
            new ReadOnlySpan<float>(ownV + i * KvStride, HeadDim).CopyTo(new Span<float>(y + i * yStride, HeadDim));
        }
    }

    /// <summary>
    /// Turns the scores of eight queries into weights relative to the largest so far, 0 for keys that are not seen;
    /// <paramref name="factors"/> is what the weights of earlier blocks must be multiplied by.
    /// </summary>
    private void Softmax(int first, int end, int k0, int block, float* scores, float* maxima, float* sums, float* factors)
    {
        int seen = Math.Min(Visible(Math.Min(first + 7, end - 1)) - k0, block);
        if (seen <= 0) return;
        int seenByAll = Math.Clamp(Visible(first) - k0, 0, seen);
        Vector256<int> visible = VisibleOfEight(first, end, k0);
        Vector256<float> least = Vector256.Create(float.NegativeInfinity);
        Vector256<float> before = Vector256.Load(maxima), largest = before;
        int s = 0;
        for (; s < seenByAll; s++) largest = Vector256.MaxNative(largest, Vector256.Load(scores + s * QueryTile));
        for (; s < seen; s++)
        {
            Vector256<float> isSeen = Vector256.LessThan(Vector256.Create(s), visible).AsSingle();
            Vector256<float> score = Vector256.ConditionalSelect(isSeen, Vector256.Load(scores + s * QueryTile), least);
            score.Store(scores + s * QueryTile);
            largest = Vector256.MaxNative(largest, score);
        }
        // Nothing seen yet: the difference would be −∞ − (−∞).
        Vector256<float> origin = Vector256.ConditionalSelect(Vector256.Equals(largest, least), Vector256<float>.Zero, largest);
        Vector256<float> factor = Weight(before - origin), sum = default;
        for (s = 0; s < seen; s++)
        {
            Vector256<float> weight = Weight(Vector256.Load(scores + s * QueryTile) - origin);
            weight.Store(scores + s * QueryTile);
            sum += weight;
        }
        largest.Store(maxima);
        factor.Store(factors);
        Vector256.MultiplyAddEstimate(Vector256.Load(sums), factor, sum).Store(sums);
    }
}
