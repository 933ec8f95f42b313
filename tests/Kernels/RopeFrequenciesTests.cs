using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

public class RopeFrequenciesTests
{
    /// <summary>rope_scaling of Llama 3.2 1B's config.json; Llama 3.1 differs in its factor of 8.</summary>
    private static readonly RopeScaling _llama = new(32, 1, 4, 8192);

    [Fact]
    public void Frequencies_fall_geometrically_from_1()
    {
        Assert.Equal([1f, 0.1f, 0.01f, 0.001f], RopeFrequencies.Compute(8, 10000, null));
        float[] wide = RopeFrequencies.Compute(128, 1_000_000, null);   // Qwen2.5
        Assert.Equal(64, wide.Length);
        for (int i = 0; i < 64; i++) Assert.Equal(1, wide[i] / Math.Exp(-i / 64.0 * Math.Log(1e6)), 1e-7);
    }

    /// <summary>The three ranges, by the wavelengths that Hugging Face's _compute_llama3_parameters compares.</summary>
    [Fact]
    public void Llama_scaling_leaves_short_waves_stretches_long_ones_and_blends_between()
    {
        float[] plain = RopeFrequencies.Compute(64, 500_000, null), scaled = RopeFrequencies.Compute(64, 500_000, _llama);
        int kept = 0, stretched = 0, blended = 0;
        for (int i = 0; i < plain.Length; i++)
        {
            double wavelength = 2 * Math.PI / plain[i], expected;
            if (wavelength < 8192.0 / 4)
            {
                expected = plain[i];
                kept++;
            }
            else if (wavelength > 8192.0)
            {
                expected = plain[i] / 32.0;
                stretched++;
            }
            else
            {
                double smooth = (8192 / wavelength - 1) / (4 - 1);
                expected = (1 - smooth) * plain[i] / 32 + smooth * plain[i];
                blended++;
            }
            Assert.Equal(1, scaled[i] / expected, 1e-6);
            if (i > 0) Assert.True(scaled[i] < scaled[i - 1]);
        }
        Assert.Equal((15, 3, 14), (kept, blended, stretched));
    }

    [Fact]
    public void Bad_arguments_are_refused()
    {
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(7, 10000, null));
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(0, 10000, null));
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(8, float.NaN, null));
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(8, 0, null));
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(8, 10000, _llama with { HighFrequencyFactor = 1 }));
        Assert.Throws<ArgumentException>(() => RopeFrequencies.Compute(8, 10000, _llama with { Factor = 0 }));
    }
}
