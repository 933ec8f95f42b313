namespace QSharp.Kernels;

/// <summary>
/// How Llama 3.1 and later stretch their rotary frequencies for contexts beyond the one they were first trained on:
/// wavelengths above OriginalContext / LowFrequencyFactor are stretched by Factor, those below
/// OriginalContext / HighFrequencyFactor are left alone, and those between are interpolated.
/// </summary>
/// <param name="Factor"><c>factor</c> in config.json.</param>
/// <param name="LowFrequencyFactor"><c>low_freq_factor</c>.</param>
/// <param name="HighFrequencyFactor"><c>high_freq_factor</c>; above the low one.</param>
/// <param name="OriginalContext"><c>original_max_position_embeddings</c>.</param>
public sealed record RopeScaling(float Factor, float LowFrequencyFactor, float HighFrequencyFactor, int OriginalContext);

/// <summary>The angles per position that <see cref="Ops.Rope"/> turns its pairs by.</summary>
public static class RopeFrequencies
{
    /// <summary>θ^(−2i/D) for pair i of D/2 (Su et al. 2021), then scaled; computed in float64 and rounded once.</summary>
    /// <param name="headDim">D, even.</param>
    /// <param name="theta">Positive; <c>rope_theta</c> in config.json.</param>
    /// <param name="scaling">Null: none.</param>
    public static float[] Compute(int headDim, float theta, RopeScaling? scaling)
    {
        if (headDim <= 0 || headDim % 2 != 0)
            throw new ArgumentException($"The head size is {headDim}, but rotation needs a positive even one.");
        if (!(theta > 0 && float.IsFinite(theta)))
            throw new ArgumentException($"Theta is {theta}, but must be positive and finite.");
        if (scaling is not null && !(scaling.Factor > 0 && scaling.LowFrequencyFactor > 0
            && scaling.HighFrequencyFactor > scaling.LowFrequencyFactor && scaling.OriginalContext > 0))
            throw new ArgumentException($"{scaling}: all must be positive and the high factor above the low one.");
        float[] frequencies = new float[headDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double frequency = Math.Pow(theta, -2.0 * i / headDim);
            frequencies[i] = (float)(scaling is null ? frequency : Scale(frequency, scaling));
        }
        return frequencies;
    }

    private static double Scale(double frequency, RopeScaling scaling)
    {
        double turns = scaling.OriginalContext * frequency / (2 * Math.PI);   // made within the original context
        double keep = (turns - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        keep = Math.Clamp(keep, 0, 1);
        return keep * frequency + (1 - keep) * frequency / scaling.Factor;
    }
}
