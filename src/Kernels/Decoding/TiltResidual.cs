using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// ρ of a law that tilts every token, as <see cref="OutsideTilt"/> has it: the prefix's tilt − ln Σ q e^g, or − Σ q g for
    /// <see cref="Tilt.Mean"/>; 0 where the prefix is not known or has no weight. A row that a weighted tilt leaves no token of is
    /// not tilted: its g becomes 0, and ρ NaN.
    /// </summary>
    /// <param name="logReference">[B, V], ln q, normalised.</param>
    /// <param name="g">[B, V]; written where a row is not tilted.</param>
    /// <param name="prefixTilt">[B], NaN where not known; may be None.</param>
    /// <param name="residual">[B].</param>
    public void TiltResidual(Tensor logReference, Tensor g, Tensor prefixTilt, Tilt tilt, Tensor residual)
    {
        int rows = logReference.Shape.Rows;
        Require(logReference, rows, logReference.Shape.Last);
        Require(g, rows, logReference.Shape.Last);
        if (!prefixTilt.IsNone) Require(prefixTilt, rows);
        Require(residual, rows);
        using OpSpan traced = Traced(logReference, g, prefixTilt, residual);
        if (rows > 0) TiltResidualCore(logReference, g, prefixTilt, tilt, residual);
    }

    private protected abstract void TiltResidualCore(Tensor logReference, Tensor g, Tensor prefixTilt, Tilt tilt, Tensor residual);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TiltResidualCore(Tensor logReference, Tensor g, Tensor prefixTilt, Tilt tilt, Tensor residual)
    {
        int vocabulary = logReference.Shape.Last;
        _workers.For(logReference.Shape.Rows, Grain(8L * vocabulary), new TiltResidualWork(
            logReference.Floats(), g.Floats(), prefixTilt.Floats(), tilt, residual.Floats(), vocabulary));
    }

    private readonly struct TiltResidualWork(float* logReference, float* g, float* prefixTilt, Tilt tilt, float* residual, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
            {
                float prefix = prefixTilt is null ? float.NaN : prefixTilt[row];
                bool isKnown = prefix > float.NegativeInfinity;
                (double mean, bool isLost) = isKnown || tilt == Tilt.Weighted ? Mean(row) : default;
                if (isLost) new Span<float>(g + (long)row * vocabulary, vocabulary).Clear();
                residual[row] = isLost ? float.NaN : isKnown ? (float)(prefix - mean) : 0;
            }
        }

        /// <returns>The mean, and whether a weighted tilt leaves no token.</returns>
        [SkipLocalsInit]
        private (double Mean, bool IsLost) Mean(int row)
        {
            float* scores = stackalloc float[ScoreRow.BlockSize], gains = stackalloc float[ScoreRow.BlockSize];
            ScoreRow reference = new(logReference + (long)row * vocabulary, vocabulary), tilts = new(g + (long)row * vocabulary, vocabulary);
            TiltSum sum = new();
            int patch = 0;
            for (int block = 0; block < reference.Blocks; block++)
            {
                int count = reference.Load(block, ref patch, scores);
                tilts.Load(block, ref patch, gains);
                if (tilt != Tilt.Mean)
                    for (int i = 0; i < count; i += 8) (Vector256.Load(scores + i) + Vector256.Load(gains + i)).Store(scores + i);
                sum.Add(scores, gains, count);
            }
            return tilt == Tilt.Mean ? (sum.Mean, false) : (sum.Log, tilt == Tilt.Weighted && double.IsNegativeInfinity(sum.Log));
        }
    }
}
