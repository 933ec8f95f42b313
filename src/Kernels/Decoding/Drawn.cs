namespace QSharp.Kernels;

/// <summary>What <see cref="SampleStatistics"/> say of a drawn token, but for what follows from these.</summary>
/// <param name="Gamma">The tilt as it stands in the law: g, or g/T in the official order.</param>
/// <param name="Moments">Mean and variance of the tilted return.</param>
internal readonly record struct Drawn(
    double LogReference, double Gamma, double Kl, double KlFloor, double LogNormalizer, double Residual, double Tilt, (double Mean, double Variance) Moments)
{
    /// <param name="row">A row of the statistics.</param>
    public unsafe void Write(float* row)
    {
        row[SampleStatistics.LogPolicy] = (float)(LogReference + Gamma - LogNormalizer);
        row[SampleStatistics.LogReference] = (float)LogReference;
        row[SampleStatistics.Kl] = (float)Math.Max(Kl, 0);
        row[SampleStatistics.KlFloor] = (float)KlFloor;
        row[SampleStatistics.LogNormalizer] = (float)LogNormalizer;
        row[SampleStatistics.Residual] = (float)Residual;
        row[SampleStatistics.ChosenTilt] = (float)Tilt;
        row[SampleStatistics.TiltedMean] = (float)Moments.Mean;
        row[SampleStatistics.TiltedVariance] = (float)Moments.Variance;
    }
}
