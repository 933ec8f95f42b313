using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>The draw: the token of the largest (score − origin) / T + Gumbel noise, ties to the lower one, in one pass over a row.</summary>
/// <remarks>
/// Random words are made only where a score can still win with the largest noise, and become noise only where a bound
/// of it can still win. Both bounds are true bounds, so what is left out never changes the result.
/// </remarks>
/// <param name="isGreedy">No noise: the token of the largest score.</param>
/// <param name="atLeast">A result below this is of no use to the caller: tokens that cannot reach it are left out.</param>
internal unsafe struct GumbelMax(ulong key, int stream, int position, bool isGreedy, float atLeast = float.NegativeInfinity)
{
    private readonly float _reach = isGreedy ? 0 : GumbelNoise.Largest;
    private float _mark = atLeast;   // the score to beat
    private Vector256<float> _best = Vector256.Create(float.NegativeInfinity);
    private Vector256<int> _winner = Vector256.Create(-1);

    /// <summary>Whether no score up to this one can win.</summary>
    public readonly bool IsOut(float score) => score < _mark - _reach;

    /// <summary>Score with noise and token; token −1 if no token has weight (or none reaches atLeast).</summary>
    public readonly (float Score, int Token) Best
    {
        get
        {
            float score = _best[0];
            int chosen = _winner[0];
            for (int lane = 1; lane < 8; lane++)
            {
                if (_winner[lane] < 0 || _best[lane] < score || (_best[lane] == score && _winner[lane] > chosen && chosen >= 0)) continue;
                score = _best[lane];
                chosen = _winner[lane];
            }
            return (score, chosen);
        }
    }

    /// <summary>The draw from a whole row.</summary>
    [SkipLocalsInit]
    public static (float Score, int Token) Draw(
        in ScoreRow row, float origin, float inverseTemperature, ulong key, int stream, int position, bool isGreedy,
        float atLeast = float.NegativeInfinity)
    {
        float* buffer = stackalloc float[ScoreRow.BlockSize];
        GumbelMax draw = new(key, stream, position, isGreedy, atLeast);
        int patch = 0;
        for (int block = 0; block < row.Blocks; block++)
        {
            if (!row.MayHold(block) || (row.Tops is not null && draw.IsOut((row.Tops[block] - origin) * inverseTemperature))) continue;
            int count = row.Load(block, ref patch, buffer);
            draw.Add(buffer, count, block * ScoreRow.BlockSize, origin, inverseTemperature);
        }
        return draw.Best;
    }

    /// <summary>Takes the tokens from <paramref name="start"/> on in.</summary>
    /// <param name="scores">Clean: −∞ for a token without weight.</param>
    /// <param name="count">A multiple of 32.</param>
    [SkipLocalsInit]
    public void Add(float* scores, int count, int start, float origin, float inverseTemperature)
    {
        uint* words = stackalloc uint[GumbelNoise.Width];
        Vector256<float> best = _best, marks = Vector256.Create(_mark), bars = Vector256.Create(_mark - _reach);
        Vector256<int> winner = _winner, lanes = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
        for (int i = 0; i < count; i += GumbelNoise.Width)
        {
            Vector256<float> s0 = (Vector256.Load(scores + i) - Vector256.Create(origin)) * inverseTemperature;
            Vector256<float> s1 = (Vector256.Load(scores + i + 8) - Vector256.Create(origin)) * inverseTemperature;
            Vector256<float> s2 = (Vector256.Load(scores + i + 16) - Vector256.Create(origin)) * inverseTemperature;
            Vector256<float> s3 = (Vector256.Load(scores + i + 24) - Vector256.Create(origin)) * inverseTemperature;
            Vector256<float> top = Vector256.Max(Vector256.Max(s0, s1), Vector256.Max(s2, s3));
            if (!Vector256.GreaterThanOrEqualAny(top, bars)) continue;
            Vector256<float> before = best;
            Vector256<int> token = Vector256.Create(start + i) + lanes;
            if (isGreedy)
            {
                Take(s0, token, ref best, ref winner);
                Take(s1, token + Vector256.Create(8), ref best, ref winner);
                Take(s2, token + Vector256.Create(16), ref best, ref winner);
                Take(s3, token + Vector256.Create(24), ref best, ref winner);
            }
            else
            {
                GumbelNoise.Words(key, stream, position, start + i, words);
                TakeNoisy(s0, words, token, marks, ref best, ref winner);
                TakeNoisy(s1, words + 8, token + Vector256.Create(8), marks, ref best, ref winner);
                TakeNoisy(s2, words + 16, token + Vector256.Create(16), marks, ref best, ref winner);
                TakeNoisy(s3, words + 24, token + Vector256.Create(24), marks, ref best, ref winner);
            }
            if (Vector256.EqualsAll(before, best)) continue;
            _mark = MathF.Max(_mark, ScoreRow.Largest(best));
            marks = Vector256.Create(_mark);
            bars = Vector256.Create(_mark - _reach);
        }
        (_best, _winner) = (best, winner);
    }

    /// <summary>For a row without weight: the first token that is not masked, or 0.</summary>
    public static int FirstLegal(float* scores, int count)
    {
        for (int token = 0; token < count; token++)
            if (scores[token] > float.NegativeInfinity) return token;
        return 0;
    }

    /// <summary>Takes the logarithms of eight words only if one of them may reach the mark: rarely, once the mark is good.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TakeNoisy(
        Vector256<float> score, uint* words, Vector256<int> token, Vector256<float> marks,
        ref Vector256<float> best, ref Vector256<int> winner)
    {
        Vector256<uint> word = Vector256.Load(words);
        if (Vector256.GreaterThanOrEqualAny(score + GumbelNoise.Bound(word), marks))
            Take(score + GumbelNoise.FromWord(word), token, ref best, ref winner);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Take(Vector256<float> score, Vector256<int> token, ref Vector256<float> best, ref Vector256<int> winner)
    {
        Vector256<float> better = Vector256.GreaterThan(score, best);
        best = Vector256.ConditionalSelect(better, score, best);
        winner = Vector256.ConditionalSelect(better.AsInt32(), token, winner);
    }
}
