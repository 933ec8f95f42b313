using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Nucleus mask (Holtzman et al. 2020): keeps the smallest set of the highest scores whose mass under softmax(scores/T) is
    /// at least p, the crossing token included, ties lower id first; all other scores become −∞ (as does NaN).
    /// </summary>
    /// <param name="scores">[B, V].</param>
    /// <param name="temperature">Positive.</param>
    /// <param name="topP">In (0, 1]; 1 keeps all.</param>
    /// <param name="y">[B, V]; may be scores.</param>
    /// <param name="logMass">[B], ln of the mass that is kept, 0 for p = 1 and for a row without weight; may be None.</param>
    public void TopP(Tensor scores, float temperature, float topP, Tensor y, Tensor logMass)
    {
        int rows = scores.Shape.Rows;
        Require(scores, rows, scores.Shape.Last);
        Require(y, rows, scores.Shape.Last);
        if (!logMass.IsNone) Require(logMass, rows);
        RequireTemperature(temperature);
        RequireTopP(topP);
        using OpSpan traced = Traced(scores, y, logMass);
        if (rows > 0) TopPCore(scores, temperature, topP, y, logMass);
    }

    private protected abstract void TopPCore(Tensor scores, float temperature, float topP, Tensor y, Tensor logMass);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TopPCore(Tensor scores, float temperature, float topP, Tensor y, Tensor logMass)
    {
        int vocabulary = scores.Shape.Last;
        _workers.For(
            scores.Shape.Rows, Grain(12L * vocabulary),
            new TopPWork(scores.Floats(), 1 / temperature, topP, y.Floats(), logMass.Floats(), vocabulary));
    }

    private readonly struct TopPWork(float* scores, float scale, float topP, float* y, float* logMass, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.NoInlining)]
        private void Row(int row)
        {
            float* tops = stackalloc float[ScoreRow.BlocksOf(vocabulary)];
            float* x = scores + (long)row * vocabulary, result = y + (long)row * vocabulary;
            ScoreRow all = new(x, vocabulary);
            ScoreSum sum = all.Sum(scale, tops);
            all.Tops = tops;
            Support support = Nucleus.Find(all, sum, scale, topP);
            if (logMass is not null)
                logMass[row] = support.IsAll ? 0
                    : (float)((all with { Support = support }).Sum(scale).Log(sum.Max, scale) - Math.Log(sum.Sum));
            Vector256<float> threshold = Vector256.Create(support.Threshold), none = Vector256.Create(float.NegativeInfinity);
            Vector256<int> last = Vector256.Create(support.LastTie), token = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
            int i = 0;
            for (; i + 8 <= vocabulary; i += 8, token += Vector256.Create(8))
            {
                Vector256<float> score = ScoreRow.Clean(Vector256.Load(x + i));
                Vector256<float> tie = Vector256.Equals(score, threshold) & Vector256.LessThanOrEqual(token, last).AsSingle();
                Vector256.ConditionalSelect(Vector256.GreaterThan(score, threshold) | tie, score, none).Store(result + i);
            }
            for (; i < vocabulary; i++)
            {
                float score = ScoreRow.Clean(x[i]);
                result[i] = support.Contains(score, i) ? score : float.NegativeInfinity;
            }
        }
    }
}
