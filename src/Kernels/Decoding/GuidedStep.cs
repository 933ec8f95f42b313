namespace QSharp.Kernels;

/// <summary>
/// One row of guided decoding in float64, straight from the definitions: whole laws over the vocabulary, sums over all
/// tokens, none of the shortcuts of the op. The oracle of TiltedSample.
/// </summary>
internal sealed record GuidedStep(int Next, int Chosen, double[] Statistics, double[] Policy, double Gap)
{
    public static GuidedStep Of(
        GuidanceRule rule, double[] logits, int[] candidates, double[][] valueLogits, double prefix, ulong key, int stream, int position,
        double[]? weights = null)
    {
        int[] slots = new int[logits.Length];   // of each token; -1 outside
        Array.Fill(slots, -1);
        for (int k = candidates.Length - 1; k >= 0; k--)
            if ((uint)candidates[k] < (uint)slots.Length) slots[candidates[k]] = k;
        bool isGuided = rule.IsGuided && candidates.Length > 0, tiltsFirst = rule.Order == Order.TiltThenTemper && isGuided;
        double temperature = rule.Temperature == 0 ? 1 : rule.Temperature;
        double[] logQ = SamplingOracle.LogSoftmax(logits, temperature);
        double floor = 0;
        if (!tiltsFirst) (logQ, floor) = Restrict(logQ, SamplingOracle.TopP(logits, temperature, rule.TopP));

        double[] g = isGuided ? [.. valueLogits.Select(value => SamplingOracle.Tilt(value, rule.Family, rule.Tilt, rule.Lambda, weights))] : [];
        double[] q = isGuided ? [.. candidates.Select(id => Math.Exp(logQ[id]))] : [];
        double tail = logQ.Where((_, id) => !isGuided || slots[id] < 0).Sum(Math.Exp);
        (double outside, double residual) = SamplingOracle.OutsideTilt(rule, g, q, tail, prefix, weights);
        if (double.IsNaN(residual)) Array.Clear(g);
        double[] tilt = [.. logits.Select((_, id) => isGuided && slots[id] >= 0 ? g[slots[id]] : outside)];

        double[] logPolicy;
        if (tiltsFirst)
        {
            double[] scores = [.. logits.Zip(tilt, (l, t) => double.IsNegativeInfinity(l) ? l : l + t)];
            bool[] support = SamplingOracle.TopP(scores, temperature, rule.TopP);
            (logPolicy, _) = Restrict(SamplingOracle.LogSoftmax(scores, temperature), support);
            (logQ, floor) = Restrict(logQ, support);
        }
        else
        {
            logPolicy = SamplingOracle.LogSoftmax([.. logQ.Zip(tilt, (l, t) => double.IsNegativeInfinity(l) ? l : l + t)], 1);
        }

        double[] noisy = [.. logPolicy.Select((s, id) =>
            s + (rule.Temperature == 0 ? 0 : SamplingOracle.Noise(key, stream, position, id)))];
        int next = SamplingOracle.Argmax(noisy), chosen = slots[next];
        double gap = noisy[next] - noisy.Where((_, id) => id != next).DefaultIfEmpty(double.NegativeInfinity).Max();
        double kl = logPolicy.Zip(logQ, (p, r) => double.IsNegativeInfinity(p) ? 0 : Math.Exp(p) * (p - r)).Sum();
        double gamma = tilt[next] / (tiltsFirst ? temperature : 1);
        (double mean, double variance) = isGuided && chosen >= 0
            ? SamplingOracle.Moments(valueLogits[chosen], rule.Family, rule.Lambda, weights) : (0, 0);
        double[] statistics = new double[SampleStatistics.Count];
        statistics[SampleStatistics.LogPolicy] = logPolicy[next];
        statistics[SampleStatistics.LogReference] = logQ[next];
        statistics[SampleStatistics.Kl] = kl;
        statistics[SampleStatistics.KlFloor] = floor;
        statistics[SampleStatistics.LogNormalizer] = logQ[next] + gamma - logPolicy[next];
        statistics[SampleStatistics.Residual] = residual;
        statistics[SampleStatistics.ChosenTilt] = double.IsNaN(residual) ? double.NaN : tilt[next];
        statistics[SampleStatistics.TiltedMean] = mean;
        statistics[SampleStatistics.TiltedVariance] = variance;
        return new GuidedStep(next, chosen, statistics, [.. logPolicy.Select(Math.Exp)], gap);
    }

    /// <summary>A law on part of its tokens, renormalised, and −ln of the mass that it keeps.</summary>
    private static (double[] Log, double Floor) Restrict(double[] log, bool[] kept)
    {
        double[] part = [.. log.Select((l, id) => kept[id] ? l : double.NegativeInfinity)];
        double mass = SamplingOracle.LogSumExp(part);
        return ([.. part.Select(l => l - mass)], -mass);
    }
}
