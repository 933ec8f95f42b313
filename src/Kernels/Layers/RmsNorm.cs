using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = x / √(mean(x²) + ε) · weight, for each row (Zhang and Sennrich 2019).</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="epsilon">Positive.</param>
    /// <param name="y">[N, C]; may be x.</param>
    /// <param name="stats">[N]: 1/√(mean(x²) + ε), kept for backward.</param>
    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y, Tensor stats)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        DType type = TypeOf(x);
        Require(x, rows, columns, type);
        Require(weight, columns);
        Require(epsilon > 0, $"epsilon is {epsilon}, but must be positive.");
        Require(y, rows, columns, type);
        Require(stats, rows);
        using OpSpan traced = Traced(x, weight, y, stats);
        RmsNormCore(x, Tensor.None, weight, epsilon, x, y, stats);
    }

    /// <summary>sum = a + b, then <see cref="RmsNorm"/> of the sum: a branch joins the residual stream, in one pass over memory.</summary>
    /// <param name="a">[N, C].</param>
    /// <param name="b">[N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="epsilon">Positive.</param>
    /// <param name="sum">[N, C]; may be a or b. The input of <see cref="RmsNormBackward"/>.</param>
    /// <param name="y">[N, C]; none of the others.</param>
    /// <param name="stats">[N], as <see cref="RmsNorm"/> writes it.</param>
    public void AddRmsNorm(Tensor a, Tensor b, Tensor weight, float epsilon, Tensor sum, Tensor y, Tensor stats)
    {
        int rows = a.Shape.Rows, columns = a.Shape.Last;
        DType type = TypeOf(a);
        Require(a, rows, columns, type);
        Require(b, rows, columns, type);
        Require(weight, columns);
        Require(epsilon > 0, $"epsilon is {epsilon}, but must be positive.");
        Require(sum, rows, columns, type);
        Require(y, rows, columns, type);
        Require(stats, rows);
        using OpSpan traced = Traced(a, b, weight, sum);
        RmsNormCore(a, b, weight, epsilon, sum, y, stats);
    }

    /// <summary>
    /// With s = 1/√(mean(x²) + ε) and g = dy · weight: dx += s·g − s³·x·mean(g·x), dWeight += Σₙ dy · x · s.
    /// </summary>
    /// <param name="dy">[N, C].</param>
    /// <param name="x">[N, C], the input of <see cref="RmsNorm"/>.</param>
    /// <param name="weight">[C].</param>
    /// <param name="stats">[N], as written by <see cref="RmsNorm"/>.</param>
    /// <param name="dx">[N, C]; adds (it is the residual stream's gradient); neither dy nor x.</param>
    /// <param name="dWeight">[C]; adds.</param>
    public void RmsNormBackward(Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        DType type = TypeOf(x);
        Require(dy, rows, columns, type);
        Require(x, rows, columns, type);
        Require(weight, columns);
        Require(stats, rows);
        Require(dx, rows, columns, type);
        Require(dWeight, columns);
        using OpSpan traced = Traced(dy, x, weight, stats);
        RmsNormBackwardCore(dy, x, weight, stats, dx, dWeight);
    }

    /// <summary>The branch may be None; the sum then is x itself.</summary>
    private protected abstract void RmsNormCore(Tensor x, Tensor branch, Tensor weight, float epsilon, Tensor sum, Tensor y, Tensor stats);

    private protected abstract void RmsNormBackwardCore(Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight);
}

public sealed unsafe partial class CpuOps
{
    private protected override void RmsNormCore(Tensor x, Tensor branch, Tensor weight, float epsilon, Tensor sum, Tensor y, Tensor stats)
    {
        int columns = x.Shape.Last;
        _workers.For(x.Shape.Rows, Grain(32 + columns), new RmsNormWork(
            x.Floats(), branch.Floats(), weight.Floats(), epsilon, sum.Floats(), y.Floats(), stats.Floats(), columns));
    }

    private protected override void RmsNormBackwardCore(Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        if (rows == 0) return;
        NormItems items = new(rows, columns);
        _workers.For(items.Count, 1, new RmsNormBackwardWork(
            dy.Floats(), x.Floats(), weight.Floats(), stats.Floats(), dx.Floats(), dWeight.Floats(), items));
    }

    private readonly struct RmsNormWork(
        float* x, float* branch, float* weight, float epsilon, float* sum, float* y, float* stats, int columns) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
            {
                long first = (long)row * columns;
                if (branch is not null) AddRow(x + first, branch + first, sum + first, columns);
                stats[row] = RmsRow.Normalize(sum + first, weight, epsilon, y + first, columns);
            }
        }
    }

    private readonly struct RmsNormBackwardWork(
        float* dy, float* x, float* weight, float* stats, float* dx, float* dWeight, NormItems items) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
            {
                if (items.IsRows(item, out int first, out int stop))
                    for (int row = first; row < stop; row++) Input(row);
                else if (stop - first == GradientColumns)
                    Parameters(first);
                else
                    for (int column = first; column < stop; column++) Parameter(column);
            }
        }

        private void Input(int row)
        {
            long first = (long)row * items.Columns;
            RmsRow.Gradient(dy + first, x + first, weight, stats[row], adds: true, dx + first, items.Columns);
        }

        private void Parameters(int column)
        {
            Vector256<float> sum0 = default, sum1 = default;
            float* dyRow = dy + column, xRow = x + column;
            for (int row = 0; row < items.Rows; row++, dyRow += items.Columns, xRow += items.Columns)
            {
                Vector256<float> scale = Vector256.Create(stats[row]);
                sum0 = Vector256.MultiplyAddEstimate(Vector256.Load(dyRow), Vector256.Load(xRow) * scale, sum0);
                sum1 = Vector256.MultiplyAddEstimate(Vector256.Load(dyRow + 8), Vector256.Load(xRow + 8) * scale, sum1);
            }
            (Vector256.Load(dWeight + column) + sum0).Store(dWeight + column);
            (Vector256.Load(dWeight + column + 8) + sum1).Store(dWeight + column + 8);
        }

        private void Parameter(int column)
        {
            float sum = 0;
            for (int row = 0; row < items.Rows; row++)
            {
                long i = (long)row * items.Columns + column;
                sum += dy[i] * (x[i] * stats[row]);
            }
            dWeight[column] += sum;
        }
    }
}
