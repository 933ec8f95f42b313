using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// y[b, v] = x[b, v] + values[b, k] where candidates[b, k] = v, and x[b, v] + others[b] for all other v: the tilt laid
    /// over the scores of a whole vocabulary, as a logits processor does it. −∞ stays −∞.
    /// </summary>
    /// <param name="x">[B, V].</param>
    /// <param name="candidates">[B, K] I32, different within a row; a slot outside of [0, V) is empty.</param>
    /// <param name="values">[B, K].</param>
    /// <param name="others">[B]; −∞ takes the tokens out.</param>
    /// <param name="y">[B, V]; not x.</param>
    public void Scatter(Tensor x, Tensor candidates, Tensor values, Tensor others, Tensor y)
    {
        int rows = x.Shape.Rows;
        Require(x, rows, x.Shape.Last);
        Require(y, rows, x.Shape.Last);
        if (rows == 0) return;
        Require(candidates, rows, candidates.Shape.Last, DType.I32);
        Require(values, rows, candidates.Shape.Last);
        Require(others, rows);
        Require(x.Address != y.Address, "y must not be x.");
        using OpSpan traced = Traced(x, candidates, values, others);
        ScatterCore(x, candidates, values, others, y);
    }

    private protected abstract void ScatterCore(Tensor x, Tensor candidates, Tensor values, Tensor others, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void ScatterCore(Tensor x, Tensor candidates, Tensor values, Tensor others, Tensor y)
    {
        int vocabulary = x.Shape.Last;
        _workers.For(
            x.Shape.Rows, Grain(vocabulary),
            new ScatterWork(x.Floats(), candidates.Ints(), values.Floats(), others.Floats(), y.Floats(), vocabulary,
                candidates.Shape.Last));
    }

    private readonly struct ScatterWork(
        float* x, int* candidates, float* values, float* others, float* y, int vocabulary, int slots) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
            {
                float* from = x + (long)row * vocabulary, to = y + (long)row * vocabulary;
                Vector256<float> other = Vector256.Create(others[row]);
                int i = 0;
                for (; i + 8 <= vocabulary; i += 8) (Vector256.Load(from + i) + other).Store(to + i);
                for (; i < vocabulary; i++) to[i] = from[i] + others[row];
                for (long k = (long)row * slots; k < (long)(row + 1) * slots; k++)
                {
                    int token = candidates[k];
                    if ((uint)token < (uint)vocabulary) to[token] = from[token] + values[k];
                }
            }
        }
    }
}
