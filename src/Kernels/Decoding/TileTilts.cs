using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// The tilts of one row's tokens from their value logits in tiles, eight tokens at a time (see <see cref="TokenTiles"/>). The default
/// tilts nothing.
/// </summary>
internal readonly unsafe struct TileTilts
{
    // e^(λz) less its largest stays above the least normal float by far; beyond, each atom takes two exponentials.
    private const float NarrowRange = 60;

    private readonly float* _logits;
    private readonly float* _bias;
    private readonly float* _weights;
    private readonly TokenTiles _tiles;
    private readonly ReturnFamily _family;
    private readonly Tilt _tilt;
    private readonly Tilts.Change _change;
    private readonly float _step, _origin, _highest;
    private readonly bool _isNarrow;
    private readonly int _vocabulary;

    /// <param name="logits">The row's, [n, A, W].</param>
    /// <param name="bias">The row's, [A], added to the logits of every token; or null.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="weights">The row's log-weights of the returns for <see cref="Tilt.Weighted"/>, else null.</param>
    /// <param name="scratch">[A], of no further use to the caller.</param>
    public TileTilts(float* logits, float* bias, TokenTiles tiles, int vocabulary, ReturnFamily family, Tilt tilt, float lambda, float* weights, float* scratch)
    {
        _logits = logits;
        _bias = bias;
        _weights = scratch;
        _tiles = tiles;
        _vocabulary = vocabulary;
        _family = family;
        _tilt = tilt;
        _change = new Tilts.Change(family, lambda, weights);
        if (family.Kind != FamilyKind.Categorical) return;
        _step = lambda * family.Step;
        _origin = weights is null ? lambda * family.Min : 0;
        float lowest = float.PositiveInfinity;
        _highest = float.NegativeInfinity;
        for (int a = 0; a < tiles.Atoms; a++)
        {
            scratch[a] = weights is null ? a * _step : weights[a];
            lowest = MathF.Min(lowest, scratch[a]);
            _highest = MathF.Max(_highest, scratch[a]);
        }
        _isNarrow = _highest - lowest <= NarrowRange;
        if (!_isNarrow) return;
        for (int a = 0; a < tiles.Atoms; a++) scratch[a] = MathF.Exp(scratch[a] - _highest);
    }

    /// <summary>g of tokens <paramref name="first"/> … <paramref name="first"/> + <paramref name="count"/> − 1, both multiples of 8.</summary>
    /// <param name="scores">Where eight of them are all −∞, g is 0 and no logit is read. So it is past the vocabulary.</param>
    public void Of(int first, int count, float* scores, float* g)
    {
        for (int i = 0; i < count; i += 8)
        {
            bool isAny = _logits is not null && Vector256.GreaterThanAny(Vector256.Load(scores + i), Vector256.Create(float.NegativeInfinity));
            (isAny ? OfEight(first + i) : default).Store(g + i);
        }
    }

    /// <summary>g of every token, [V].</summary>
    public void All(float* g)
    {
        int whole = _vocabulary & ~7;
        for (int token = 0; token < whole; token += 8) OfEight(token).Store(g + token);
        for (int token = whole; token < _vocabulary; token++) g[token] = Of(token);
    }

    /// <summary>g of one token.</summary>
    public float Of(int token) => OfEight(token & ~7)[token & 7];

    /// <summary>The logits of one token's atoms, [A].</summary>
    public void Atoms(int token, float* atoms)
    {
        float* x = _logits + _tiles.At(token);
        for (int a = 0; a < _tiles.Atoms; a++) atoms[a] = x[(long)a * _tiles.Width] + (_bias is null ? 0 : _bias[a]);
    }

    private Vector256<float> OfEight(int token)
    {
        float* x = _logits + _tiles.At(token);
        int lanes = Math.Min(8, _vocabulary - token);
        if (_family.Kind != FamilyKind.Categorical) return Tilts.OfBernoulli(Load(x, 0, lanes), _tilt, _change);
        int atoms = _tiles.Atoms;
        Vector256<float> top = Load(x, 0, lanes);
        for (int a = 1; a < atoms; a++) top = Vector256.Max(top, Load(x, a, lanes));
        Vector256<float> sum = default, tilted = default, origin = Vector256.Create(_origin);
        if (_tilt == Tilt.Mean)
        {
            for (int a = 0; a < atoms; a++)
            {
                Vector256<float> weight = VectorMath.Exp(Load(x, a, lanes) - top);
                sum += weight;
                tilted += weight * a;
            }
            return origin + _step * (tilted / sum);
        }
        if (_isNarrow)
        {
            for (int a = 0; a < atoms; a++)
            {
                Vector256<float> weight = VectorMath.Exp(Load(x, a, lanes) - top);
                sum += weight;
                tilted += weight * _weights[a];
            }
            return origin + (Vector256.Create(_highest) + VectorMath.Log(tilted / sum));
        }
        Vector256<float> none = Vector256.Create(float.NegativeInfinity), tiltedTop = none;
        for (int a = 0; a < atoms; a++) tiltedTop = Vector256.Max(tiltedTop, Load(x, a, lanes) + Vector256.Create(_weights[a]));
        for (int a = 0; a < atoms; a++)
        {
            Vector256<float> logit = Load(x, a, lanes);
            sum += VectorMath.Exp(logit - top);
            tilted += VectorMath.Exp(logit + Vector256.Create(_weights[a]) - tiltedTop);
        }
        // Where no return that the token can give has weight, it has none.
        Vector256<float> g = origin + (tiltedTop - top + VectorMath.Log(tilted / sum));
        return Vector256.ConditionalSelect(Vector256.Equals(tiltedTop, none), none, g);
    }

    /// <summary>One atom of eight tokens, of which only <paramref name="lanes"/> need be there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Vector256<float> Load(float* x, int atom, int lanes)
    {
        float* at = x + (long)atom * _tiles.Width;
        Vector256<float> logits = lanes == 8 ? Vector256.Load(at) : Part(at, lanes);
        return _bias is null ? logits : logits + Vector256.Create(_bias[atom]);
    }

    private static Vector256<float> Part(float* x, int lanes)
    {
        Vector256<float> part = default;
        for (int lane = 0; lane < lanes; lane++) part = part.WithElement(lane, x[lane]);
        return part;
    }
}

/// <summary>ln Σ exp(score), and the mean of a value under these weights, block by block.</summary>
internal unsafe struct TiltSum()
{
    private float _max = float.NegativeInfinity;
    private double _sum, _moment;

    public readonly double Log => _sum > 0 ? _max + Math.Log(_sum) : double.NegativeInfinity;

    public readonly double Mean => _moment / _sum;

    /// <param name="values">Of no account where the score is −∞.</param>
    /// <param name="count">A multiple of 32.</param>
    public void Add(float* scores, float* values, int count)
    {
        float top = ScoreRow.Largest(scores, count);
        if (float.IsNegativeInfinity(top)) return;
        if (top > _max)
        {
            double shrink = Math.Exp((double)_max - top);
            _sum *= shrink;
            _moment *= shrink;
            _max = top;
        }
        Vector256<float> max = Vector256.Create(_max), sum = default, moment = default;
        for (int i = 0; i < count; i += 8)
        {
            Vector256<float> weight = VectorMath.Exp(Vector256.Load(scores + i) - max);
            sum += weight;
            moment += Vector256.ConditionalSelect(Vector256.GreaterThan(weight, default), weight * Vector256.Load(values + i), default);
        }
        _sum += Vector256.Sum(sum);
        _moment += Vector256.Sum(moment);
    }
}
