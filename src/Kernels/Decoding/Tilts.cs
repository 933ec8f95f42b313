using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>The arithmetic of tilts that the fused op and the ops of the naive chain share (method notes §3.1, §3.3).</summary>
internal static unsafe class Tilts
{
    /// <summary>A tail lighter than this has no tilt of its own: the difference that would give it is rounding.</summary>
    public const double LightestTail = 1e-6;

    /// <summary>Whether a tilt has any say.</summary>
    public static bool IsTilted(Tilt tilt, float lambda) => tilt == Tilt.Weighted || (tilt != Tilt.None && lambda != 0);

    /// <summary>g of <paramref name="count"/> tokens from their [count, A] value logits.</summary>
    /// <param name="weights">A row of log-weights of the returns for <see cref="Tilt.Weighted"/>, else null.</param>
    public static void Of(float* logits, int count, ReturnFamily family, Tilt tilt, float lambda, float* weights, float* g)
    {
        if (!IsTilted(tilt, lambda))
        {
            new Span<float>(g, count).Clear();
            return;
        }
        if (family.Kind == FamilyKind.Categorical)
        {
            for (int i = 0; i < count; i++) g[i] = OfAtoms(logits + (long)i * family.Atoms, family, tilt, lambda, weights);
            return;
        }
        Change change = new(family, lambda, weights);
        int k = 0;
        for (; k + 8 <= count; k += 8) OfBernoulli(Vector256.Load(logits + k), tilt, change).Store(g + k);
        for (; k < count; k++) g[k] = OfBernoulli(Vector256.Create(logits[k]), tilt, change)[0];
    }

    /// <summary>
    /// Two log-weights as g = Origin + softplus(±ℓ + Difference) − softplus(±ℓ). Those of a table are counted from the larger
    /// one, so that neither −∞ nor cancellation is in the way.
    /// </summary>
    public readonly struct Change
    {
        public readonly float Origin, Sign, Difference;

        public Change(ReturnFamily family, float lambda, float* weights)
        {
            (Origin, Sign, Difference) = (lambda * family.Min, 1, lambda * (family.Max - family.Min));
            if (weights is null) return;
            bool rises = weights[1] > weights[0];
            (Origin, Sign, Difference) = rises ? (weights[1], -1, weights[0] - weights[1]) : (weights[0], 1, weights[1] - weights[0]);
            if (float.IsNegativeInfinity(Origin)) Difference = 0;
        }
    }

    /// <summary>
    /// Origin + softplus(ℓ + d) − softplus(ℓ) for d = Difference. Written as a difference of hinges, which is d itself
    /// where both are open, plus a difference of two numbers in [0, ln 2]: nothing large cancels.
    /// </summary>
    public static Vector256<float> OfBernoulli(Vector256<float> logit, Tilt tilt, in Change change)
    {
        if (tilt == Tilt.Mean) return Vector256.Create(change.Origin) + VectorMath.Sigmoid(logit) * change.Difference;
        logit *= change.Sign;
        Vector256<float> zero = Vector256<float>.Zero, d = Vector256.Create(change.Difference), shifted = logit + d;
        Vector256<float> hinges = Vector256.ConditionalSelect(
            Vector256.GreaterThan(Vector256.Min(logit, shifted), zero), d, Vector256.Max(shifted, zero) - Vector256.Max(logit, zero));
        return Vector256.Create(change.Origin) + (hinges + (SoftplusRest(shifted) - SoftplusRest(logit)));
    }

    /// <summary>softplus(x) − max(x, 0) = ln(1 + e^(−|x|)), exact to rounding (Kahan).</summary>
    private static Vector256<float> SoftplusRest(Vector256<float> x)
    {
        Vector256<float> one = Vector256<float>.One, e = VectorMath.Exp(-Vector256.Abs(x)), sum = one + e;
        return Vector256.ConditionalSelect(Vector256.Equals(sum, one), e, VectorMath.Log(sum) * (e / (sum - one)));
    }

    /// <summary>LSE(ℓ_i + h_i) − LSE(ℓ_i), or λ Σ softmax(ℓ)_i z_i; λz is counted from Min so that no constant is summed.</summary>
    private static float OfAtoms(float* logits, ReturnFamily family, Tilt tilt, float lambda, float* weights)
    {
        int atoms = family.Atoms;
        float step = lambda * family.Step, origin = weights is null ? lambda * family.Min : 0;
        Vector256<float> max = Vector256.Create(float.NegativeInfinity), tiltedMax = max;
        for (int i = 0; i < atoms; i += 8)
        {
            Vector256<float> x = Load(logits, i, atoms);
            max = Vector256.Max(max, x);
            tiltedMax = Vector256.Max(tiltedMax, Raised(x, i, step, weights, atoms));
        }
        float top = ScoreRow.Largest(max), tiltedTop = ScoreRow.Largest(tiltedMax);
        if (float.IsNegativeInfinity(tiltedTop)) return tiltedTop;   // no return that the token can give has weight
        Vector256<float> sum = default, tiltedSum = default, moment = default;
        for (int i = 0; i < atoms; i += 8)
        {
            Vector256<float> x = Load(logits, i, atoms), weight = VectorMath.Exp(x - Vector256.Create(top));
            sum += weight;
            moment += weight * Index(i);
            tiltedSum += VectorMath.Exp(Raised(x, i, step, weights, atoms) - Vector256.Create(tiltedTop));
        }
        float total = Vector256.Sum(sum);
        if (tilt == Tilt.Mean) return origin + step * (Vector256.Sum(moment) / total);
        return origin + (tiltedTop - top + MathF.Log(Vector256.Sum(tiltedSum) / total));
    }

    private static Vector256<float> Raised(Vector256<float> x, int i, float step, float* weights, int atoms) =>
        weights is null ? x + Index(i) * step : x + Load(weights, i, atoms);

    private static Vector256<float> Index(int i) => Vector256.Create((float)i) + Vector256.Create(0f, 1, 2, 3, 4, 5, 6, 7);

    private static Vector256<float> Load(float* x, int i, int count)
    {
        if (i + 8 <= count) return Vector256.Load(x + i);
        Vector256<float> rest = Vector256.Create(float.NegativeInfinity);
        for (int lane = 0; i + lane < count; lane++) rest = rest.WithElement(lane, x[i + lane]);
        return rest;
    }

    /// <summary>
    /// The tilt of the tokens outside and the residual ρ (method notes §3.3). Where no token would keep any weight, none is
    /// tilted: all tilts become 0 and ρ NaN.
    /// </summary>
    /// <param name="weights">A row of log-weights of the returns for <see cref="Tilt.Weighted"/>, else null.</param>
    /// <param name="g">Tilts of the candidates.</param>
    /// <param name="logShare">ln q of the candidates; −∞ where one has no weight.</param>
    /// <param name="logTail">ln of q's mass outside of the candidates.</param>
    /// <param name="prefixTilt">The tilt of the prefix: ln W(x), or λ E[Z] for <see cref="Tilt.Mean"/>; NaN if not known.</param>
    public static (double Tilt, double Residual) OfOutside(
        Outside outside, ReturnFamily family, Tilt tilt, float lambda, float* weights,
        float* g, double* logShare, int count, double logTail, float prefixTilt)
    {
        if (count == 0) return (0, 0);   // nothing is known of this row, so nothing is tilted
        double least = double.PositiveInfinity, total = 0, mean = 0, part = 0;
        for (int k = 0; k < count; k++)
        {
            least = Math.Min(least, g[k]);
            total += g[k];
        }
        double logMass = LogSum(logShare, count, double.NegativeInfinity);
        // The candidates' share of the mean: Σ q g, or ln Σ q e^g.
        if (tilt == Tilt.Mean)
            for (int k = 0; k < count; k++) part += Math.Exp(logShare[k]) * g[k];
        else
            part = LogSumTilted(logShare, g, count);
        bool hasMass = !double.IsNegativeInfinity(logMass), isKnown = !float.IsNaN(prefixTilt);
        if (hasMass) mean = tilt == Tilt.Mean ? part / Math.Exp(logMass) : part - logMass;
        bool isFinite = !double.IsNegativeInfinity(mean) && !float.IsNegativeInfinity(prefixTilt);
        double residual = hasMass && isKnown && isFinite ? prefixTilt - mean : 0;
        double result = outside switch
        {
            Outside.Zero => 0,
            Outside.Min => least,
            Outside.Mean => total / count,
            Outside.Truncate => double.NegativeInfinity,
            _ => OfTail(family, tilt, lambda, weights, isKnown ? prefixTilt : mean, isKnown, part, logTail),
        };
        bool candidatesHaveWeight = hasMass && (tilt == Tilt.Mean || !double.IsNegativeInfinity(part));
        if (candidatesHaveWeight || !(double.IsNegativeInfinity(logTail) || double.IsNegativeInfinity(result))) return (result, residual);
        new Span<float>(g, count).Clear();
        return (0, double.NaN);
    }

    private static double OfTail(
        ReturnFamily family, Tilt tilt, float lambda, float* weights, double prefix, bool isKnown, double part, double logTail)
    {
        if (logTail <= Math.Log(LightestTail)) return double.NegativeInfinity;
        (double low, double high) = Bounds(family, lambda, weights);
        prefix = Clamp(prefix, low, high);
        if (!isKnown) return prefix;
        if (tilt == Tilt.Mean) return Clamp((prefix - part) / Math.Exp(logTail), low, high);
        if (part >= prefix) return low;   // the candidates alone exceed W(x)
        return Clamp(prefix + LogOneMinusExp(part - prefix) - logTail, low, high);
    }

    /// <summary>The least and the largest tilt that any law can have.</summary>
    public static (double Low, double High) Bounds(ReturnFamily family, float lambda, float* weights)
    {
        double a = (double)lambda * family.Min, b = (double)lambda * family.Max;
        if (weights is not null) a = b = weights[0];
        for (int i = 1; weights is not null && i < family.Returns; i++) (a, b) = (Math.Min(a, weights[i]), Math.Max(b, weights[i]));
        return (Math.Min(a, b), Math.Max(a, b));
    }

    /// <summary>
    /// Mean and variance of Z under p_i · exp(λ z_i), or p_i · exp(h_i), for one token's value logits; 0 and 0 where that law
    /// has no weight.
    /// </summary>
    public static (double Mean, double Variance) Moments(float* logits, ReturnFamily family, float lambda, float* weights)
    {
        double range = (double)family.Max - family.Min;
        if (family.Kind == FamilyKind.Bernoulli)
        {
            double x = logits[0] + (weights is null ? lambda * range : (double)weights[1] - weights[0]);
            if (double.IsNaN(x)) return default;
            double small = Math.Exp(-Math.Abs(x)), p = (x >= 0 ? 1 : small) / (1 + small);
            return (family.Min + range * p, range * range * small / ((1 + small) * (1 + small)));
        }
        double step = (double)lambda * family.Step, max = double.NegativeInfinity, sum = 0, first = 0, second = 0;
        double Log(int i) => logits[i] + (weights is null ? i * step : weights[i]);
        for (int i = 0; i < family.Atoms; i++) max = Math.Max(max, Log(i));
        if (double.IsNegativeInfinity(max)) return default;
        for (int i = 0; i < family.Atoms; i++)
        {
            double weight = Math.Exp(Log(i) - max);
            sum += weight;
            first += weight * i;
        }
        first /= sum;
        for (int i = 0; i < family.Atoms; i++) second += Math.Exp(Log(i) - max) * (i - first) * (i - first);
        return (family.Min + family.Step * first, (double)family.Step * family.Step * second / sum);
    }

    /// <summary>
    /// The slots of a row's candidate list that hold a token of the vocabulary, by ascending token: token · 2³² + slot.
    /// A slot outside of [0, vocabulary) is empty, which is how ragged lists are padded.
    /// </summary>
    public static int Sort(int* candidates, int slots, int vocabulary, long* sorted)
    {
        int count = 0;
        for (int k = 0; k < slots; k++)
            if ((uint)candidates[k] < (uint)vocabulary) sorted[count++] = ((long)candidates[k] << 32) | (uint)k;
        new Span<long>(sorted, count).Sort();
        return count;
    }

    /// <summary>ln(Σ exp(x_k) + exp(rest)); −∞ terms are legal.</summary>
    public static double LogSum(double* x, int count, double rest)
    {
        double max = rest, sum = 0;
        for (int k = 0; k < count; k++) max = Math.Max(max, x[k]);
        if (double.IsNegativeInfinity(max)) return max;
        if (max == rest && count == 0) return rest;   // without a detour that could round
        for (int k = 0; k < count; k++) sum += Math.Exp(x[k] - max);
        return max + Math.Log(sum + Math.Exp(rest - max));
    }

    private static double LogSumTilted(double* logShare, float* g, int count)
    {
        double max = double.NegativeInfinity, sum = 0;
        for (int k = 0; k < count; k++) max = Math.Max(max, logShare[k] + g[k]);
        if (double.IsNegativeInfinity(max)) return max;
        for (int k = 0; k < count; k++) sum += Math.Exp(logShare[k] + g[k] - max);
        return max + Math.Log(sum);
    }

    /// <summary>ln(1 − eˣ) for x &lt; 0, by whichever of two forms does not cancel (Mächler 2012).</summary>
    private static double LogOneMinusExp(double x) =>
        x > -1e-5 ? Math.Log(-x * (1 + x / 2)) : Math.Log(1 - Math.Exp(x));

    private static double Clamp(double x, double low, double high) => x < low ? low : x > high ? high : x;
}
