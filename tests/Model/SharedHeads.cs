using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>Heads on π_ref's own hidden states with weights that leave nothing at 0, and what they say.</summary>
internal static class SharedHeads
{
    /// <summary>F.</summary>
    public const int Hidden = 24;

    public static SharedTrunkGuide NewGuide(LanguageModel reference, ReturnFamily family, ulong seed, int layer = 0)
    {
        SharedTrunkGuide guide = new(reference, family, Hidden, layer);
        Randomize(guide.Weights, seed);
        return guide;
    }

    public static void Randomize(Parameters parameters, ulong seed)
    {
        PhiloxStream random = new(seed);
        foreach ((_, Tensor value, _) in parameters.Named)
            foreach (ref float x in value.Span<float>()) x = 0.4f * random.NextNormal();
    }

    /// <summary>z = gelu(W₁·LayerNorm(h)), logit = (W₂z)·e + W_b z, in float64.</summary>
    public static double[] Formula(SharedTrunkGuide guide, float[] state, int token)
    {
        SharedHeadWeights w = guide.Weights;
        int c = guide.Shape.Width, f = guide.Shape.Hidden;
        double mean = state.Average(x => (double)x), deviation = Math.Sqrt(state.Average(x => (x - mean) * (x - mean)) + 1e-5);
        double[] normed = [.. state.Select((x, i) => (x - mean) / deviation * w.Norm.Span<float>()[i] + w.NormBias.Span<float>()[i])];
        double[] z = [.. Enumerable.Range(0, f).Select(i => Gelu(Dot(w.Up, i, normed) + w.UpBias.Span<float>()[i]))];
        double[] embedding = [.. guide.Reference.Weights.Tokens.Range(token, 1).Span<float>().ToArray().Select(x => (double)x)];
        return [.. Enumerable.Range(0, guide.Shape.Atoms).Select(a =>
            Enumerable.Range(0, c).Sum(i => Dot(w.Query, a * c + i, z) * embedding[i]) + Dot(w.Bias, a, z) + w.BiasBias.Span<float>()[a])];
    }

    private static double Dot(Tensor matrix, int row, double[] x)
    {
        double sum = 0;
        ReadOnlySpan<float> weights = matrix.Range(row, 1).Span<float>();
        for (int i = 0; i < x.Length; i++) sum += weights[i] * x[i];
        return sum;
    }

    private static double Gelu(double x) => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
}
