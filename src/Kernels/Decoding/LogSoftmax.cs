using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// y = x/T − ln Σ exp(x/T) over each row. A logit of −∞ (or NaN) gives −∞; a row of nothing else gives −∞
    /// throughout.
    /// </summary>
    /// <param name="logits">[B, V].</param>
    /// <param name="temperature">Positive.</param>
    /// <param name="y">[B, V]; may be logits.</param>
    public void LogSoftmax(Tensor logits, float temperature, Tensor y)
    {
        int rows = logits.Shape.Rows;
        Require(logits, rows, logits.Shape.Last);
        Require(y, rows, logits.Shape.Last);
        RequireTemperature(temperature);
        using OpSpan traced = Traced(logits, y);
        if (rows > 0) LogSoftmaxCore(logits, temperature, y);
    }

    private protected abstract void LogSoftmaxCore(Tensor logits, float temperature, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void LogSoftmaxCore(Tensor logits, float temperature, Tensor y)
    {
        int vocabulary = logits.Shape.Last;
        _workers.For(
            logits.Shape.Rows, Grain(8L * vocabulary),
            new LogSoftmaxWork(logits.Floats(), y.Floats(), vocabulary, 1 / temperature));
    }

    private readonly struct LogSoftmaxWork(float* logits, float* y, int vocabulary, float scale) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(logits + (long)row * vocabulary, y + (long)row * vocabulary);
        }

        private void Row(float* x, float* result)
        {
            ScoreSum sum = new ScoreRow(x, vocabulary).Sum(scale);
            if (sum.IsEmpty)
            {
                new Span<float>(result, vocabulary).Fill(float.NegativeInfinity);
                return;
            }
            float log = (float)Math.Log(sum.Sum);
            int i = 0;
            for (; i + 8 <= vocabulary; i += 8)
                ((ScoreRow.Clean(Vector256.Load(x + i)) - Vector256.Create(sum.Max)) * scale - Vector256.Create(log)).Store(result + i);
            for (; i < vocabulary; i++) result[i] = (ScoreRow.Clean(x[i]) - sum.Max) * scale - log;
        }
    }
}
