using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// The tokens that may be drawn, as a cut in the order of scores (ties: lower id first): every score above
/// <paramref name="Threshold"/>, and those equal to it up to token <paramref name="LastTie"/>.
/// </summary>
internal readonly record struct Support(float Threshold, int LastTie)
{
    /// <summary>Every token whose score is not −∞.</summary>
    public static Support All => new(float.NegativeInfinity, -1);

    public bool IsAll => float.IsNegativeInfinity(Threshold);

    public bool Contains(float score, int token) => score > Threshold || (score == Threshold && token <= LastTie);
}

/// <summary>
/// One row of scores for passes of the CPU twins, read in blocks of 1024 that stay in the first cache. A block comes
/// cleaned (NaN is −∞, +∞ the largest float, −0 is 0), with the tokens of a side table replaced, with tokens outside of
/// the support at −∞, and padded with −∞ to a multiple of 32, so that loops over it need no special cases.
/// </summary>
internal unsafe struct ScoreRow
{
    public const int BlockSize = 1024;

    public float* Scores;
    public int Count;

    /// <summary>Tokens, ascending, whose scores are replaced by <see cref="PatchValues"/>, or taken out where that is null.</summary>
    public int* PatchTokens;
    public float* PatchValues;
    public int Patches;

    public Support Support;

    /// <summary>For each block an upper bound of its scores, so that passes can leave blocks out; null if not known.</summary>
    public float* Tops;

    public ScoreRow(float* scores, int count)
    {
        Scores = scores;
        Count = count;
        Support = Support.All;
    }

    public readonly int Blocks => BlocksOf(Count);

    public static int BlocksOf(int count) => (int)(((long)count + BlockSize - 1) / BlockSize);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Clean(Vector256<float> x)
    {
        Vector256<float> capped = Vector256.ConditionalSelect(
            Vector256.Equals(x, Vector256.Create(float.PositiveInfinity)), Vector256.Create(float.MaxValue), x);
        Vector256<float> none = Vector256.Create(float.NegativeInfinity);
        return Vector256.ConditionalSelect(Vector256.Equals(x, x), capped, none) + Vector256<float>.Zero;
    }

    public static float Clean(float x) => float.IsNaN(x) ? float.NegativeInfinity : MathF.Min(x, float.MaxValue) + 0f;

    /// <summary>Whether a block may hold a token of the support.</summary>
    public readonly bool MayHold(int block) => Tops is null || Tops[block] >= Support.Threshold;

    /// <summary>
    /// Reads a block into <paramref name="buffer"/> and returns its padded length. Blocks are asked for in ascending
    /// order.
    /// </summary>
    /// <param name="patch">Cursor into the side table; 0 before the first block.</param>
    public readonly int Load(int block, ref int patch, float* buffer)
    {
        int start = block * BlockSize, count = Math.Min(BlockSize, Count - start), i = 0;
        float* x = Scores + start;
        for (; i + 8 <= count; i += 8) Clean(Vector256.Load(x + i)).Store(buffer + i);
        for (; i < count; i++) buffer[i] = Clean(x[i]);
        int padded = (count + 31) & ~31;
        for (; i < padded; i++) buffer[i] = float.NegativeInfinity;
        while (patch < Patches && PatchTokens[patch] < start) patch++;
        for (; patch < Patches && PatchTokens[patch] < start + count; patch++)
            buffer[PatchTokens[patch] - start] = PatchValues is null ? float.NegativeInfinity : PatchValues[patch];
        if (!Support.IsAll) Mask(buffer, padded, start);
        return padded;
    }

    /// <summary>Largest score, and Σ exp((score − max) · inverseTemperature), summed in blocks, which are added in double.</summary>
    /// <param name="tops">Where to write the largest score of each block; null if not wanted. Not together with <see cref="Tops"/>.</param>
    [SkipLocalsInit]
    public readonly ScoreSum Sum(float inverseTemperature, float* tops = null)
    {
        float* buffer = stackalloc float[BlockSize];
        float max = float.NegativeInfinity;
        double sum = 0;
        int patch = 0;
        for (int block = 0; block < Blocks; block++)
        {
            if (!MayHold(block)) continue;
            int count = Load(block, ref patch, buffer);
            float top = Largest(buffer, count);
            if (tops is not null) tops[block] = top;
            if (float.IsNegativeInfinity(top)) continue;
            if (top > max)
            {
                if (sum > 0) sum *= Math.Exp(((double)max - top) * inverseTemperature);
                max = top;
            }
            sum += SumOfExp(buffer, count, max, inverseTemperature);
        }
        return new ScoreSum(max, sum);
    }

    private readonly void Mask(float* buffer, int count, int start)
    {
        Vector256<float> threshold = Vector256.Create(Support.Threshold), none = Vector256.Create(float.NegativeInfinity);
        Vector256<int> last = Vector256.Create(Support.LastTie), token = Vector256.Create(start) + Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
        for (int i = 0; i < count; i += 8, token += Vector256.Create(8))
        {
            Vector256<float> x = Vector256.Load(buffer + i);
            Vector256<float> tie = Vector256.Equals(x, threshold) & Vector256.LessThanOrEqual(token, last).AsSingle();
            Vector256.ConditionalSelect(Vector256.GreaterThan(x, threshold) | tie, x, none).Store(buffer + i);
        }
    }

    public static float Largest(float* x, int count)
    {
        Vector256<float> a = Vector256.Load(x), b = Vector256.Load(x + 8), c = Vector256.Load(x + 16), d = Vector256.Load(x + 24);
        for (int i = 32; i < count; i += 32)
        {
            a = Vector256.Max(a, Vector256.Load(x + i));
            b = Vector256.Max(b, Vector256.Load(x + i + 8));
            c = Vector256.Max(c, Vector256.Load(x + i + 16));
            d = Vector256.Max(d, Vector256.Load(x + i + 24));
        }
        return Largest(Vector256.Max(Vector256.Max(a, b), Vector256.Max(c, d)));
    }

    public static float Largest(Vector256<float> x)
    {
        Vector128<float> half = Vector128.Max(x.GetLower(), x.GetUpper());
        half = Vector128.Max(half, Vector128.Shuffle(half, Vector128.Create(2, 3, 0, 1)));
        return MathF.Max(half[0], half[1]);
    }

    private static float SumOfExp(float* x, int count, float max, float scale)
    {
        Vector256<float> top = Vector256.Create(max), a = default, b = default, c = default, d = default;
        for (int i = 0; i < count; i += 32)
        {
            a += VectorMath.Exp((Vector256.Load(x + i) - top) * scale);
            b += VectorMath.Exp((Vector256.Load(x + i + 8) - top) * scale);
            c += VectorMath.Exp((Vector256.Load(x + i + 16) - top) * scale);
            d += VectorMath.Exp((Vector256.Load(x + i + 24) - top) * scale);
        }
        return Vector256.Sum(a + b + (c + d));
    }
}

/// <summary>Max and Σ exp((score − Max) / T) of a row; (−∞, 0) for a row without weight.</summary>
internal readonly record struct ScoreSum(float Max, double Sum)
{
    public bool IsEmpty => float.IsNegativeInfinity(Max);

    /// <summary>ln Σ exp((score − origin) / T).</summary>
    public double Log(float origin, float inverseTemperature) =>
        IsEmpty ? double.NegativeInfinity : ((double)Max - origin) * inverseTemperature + Math.Log(Sum);
}
