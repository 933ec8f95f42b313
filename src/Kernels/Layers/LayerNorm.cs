using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = (x − μ) / √(σ² + ε) · weight + bias, with mean μ and variance σ² of each row (Ba, Kiros and Hinton 2016).</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <param name="epsilon">Positive.</param>
    /// <param name="y">[N, C]; may be x.</param>
    /// <param name="stats">[N, 2]: μ and 1/√(σ² + ε), kept for backward.</param>
    public void LayerNorm(Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y, Tensor stats)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        DType type = TypeOf(x);
        Require(x, rows, columns, type);
        Require(weight, columns);
        Require(bias, columns);
        Require(epsilon > 0, $"epsilon is {epsilon}, but must be positive.");
        Require(y, rows, columns, type);
        Require(stats, rows, 2);
        using OpSpan traced = Traced(x, weight, bias, y);
        LayerNormCore(x, Tensor.None, weight, bias, epsilon, x, y, stats);
    }

    /// <summary>sum = a + b, then <see cref="LayerNorm"/> of the sum: a branch joins the residual stream, in one pass over memory.</summary>
    /// <param name="a">[N, C].</param>
    /// <param name="b">[N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="bias">[C].</param>
    /// <param name="epsilon">Positive.</param>
    /// <param name="sum">[N, C]; may be a or b. The input of <see cref="LayerNormBackward"/>.</param>
    /// <param name="y">[N, C]; none of the others.</param>
    /// <param name="stats">[N, 2], as <see cref="LayerNorm"/> writes it.</param>
    public void AddLayerNorm(Tensor a, Tensor b, Tensor weight, Tensor bias, float epsilon, Tensor sum, Tensor y, Tensor stats)
    {
        int rows = a.Shape.Rows, columns = a.Shape.Last;
        DType type = TypeOf(a);
        Require(a, rows, columns, type);
        Require(b, rows, columns, type);
        Require(weight, columns);
        Require(bias, columns);
        Require(epsilon > 0, $"epsilon is {epsilon}, but must be positive.");
        Require(sum, rows, columns, type);
        Require(y, rows, columns, type);
        Require(stats, rows, 2);
        using OpSpan traced = Traced(a, b, weight, bias);
        LayerNormCore(a, b, weight, bias, epsilon, sum, y, stats);
    }

    /// <summary>
    /// With x̂ = (x − μ)/σ and g = dy · weight: dx += (g − mean(g) − x̂ · mean(g · x̂)) / σ,
    /// dWeight += Σₙ dy · x̂, dBias += Σₙ dy.
    /// </summary>
    /// <param name="dy">[N, C].</param>
    /// <param name="x">[N, C], the input of <see cref="LayerNorm"/>.</param>
    /// <param name="weight">[C].</param>
    /// <param name="stats">[N, 2], as written by <see cref="LayerNorm"/>.</param>
    /// <param name="dx">[N, C]; adds (it is the residual stream's gradient); neither dy nor x.</param>
    /// <param name="dWeight">[C]; adds.</param>
    /// <param name="dBias">[C]; adds.</param>
    public void LayerNormBackward(Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        DType type = TypeOf(x);
        Require(dy, rows, columns, type);
        Require(x, rows, columns, type);
        Require(weight, columns);
        Require(stats, rows, 2);
        Require(dx, rows, columns, type);
        Require(dWeight, columns);
        Require(dBias, columns);
        using OpSpan traced = Traced(dy, x, weight, stats);
        LayerNormBackwardCore(dy, x, weight, stats, dx, dWeight, dBias);
    }

    /// <summary>The branch may be None; the sum then is x itself.</summary>
    private protected abstract void LayerNormCore(
        Tensor x, Tensor branch, Tensor weight, Tensor bias, float epsilon, Tensor sum, Tensor y, Tensor stats);

    private protected abstract void LayerNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias);
}

public sealed unsafe partial class CpuOps
{
    /// <summary>Columns of one item of a parameter gradient: one cache line, two vectors.</summary>
    private const int GradientColumns = 16;

    private protected override void LayerNormCore(
        Tensor x, Tensor branch, Tensor weight, Tensor bias, float epsilon, Tensor sum, Tensor y, Tensor stats)
    {
        int columns = x.Shape.Last;
        _workers.For(x.Shape.Rows, Grain(32 + 2 * columns), new LayerNormWork(
            x.Floats(), branch.Floats(), weight.Floats(), bias.Floats(), epsilon, sum.Floats(), y.Floats(), stats.Floats(), columns));
    }

    private protected override void LayerNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias)
    {
        int rows = x.Shape.Rows, columns = x.Shape.Last;
        if (rows == 0) return;
        NormItems items = new(rows, columns);
        _workers.For(items.Count, 1, new LayerNormBackwardWork(
            dy.Floats(), x.Floats(), weight.Floats(), stats.Floats(), dx.Floats(), dWeight.Floats(), dBias.Floats(), items));
    }

    /// <summary>
    /// A norm's backward in one loop of two kinds of items: first blocks of rows (for dx), then blocks of columns (for the
    /// parameters, each summed over all rows in order, so that its bits depend on no cut). Reading dy and x a second time
    /// from cache is cheaper than keeping partial sums for each block of rows and adding them up in a second loop.
    /// </summary>
    private readonly struct NormItems(int rows, int columns)
    {
        private readonly int _rowsPerItem = Grain(32 + 3 * columns);

        public int Rows => rows;

        public int Columns => columns;

        public int Count => RowItems + (columns + GradientColumns - 1) / GradientColumns;

        private int RowItems => (int)(((long)rows + _rowsPerItem - 1) / _rowsPerItem);

        /// <summary>Whether an item is a block of rows, and its bounds; otherwise the bounds of a block of columns.</summary>
        public bool IsRows(int item, out int first, out int stop)
        {
            bool isRows = item < RowItems;
            first = isRows ? item * _rowsPerItem : (item - RowItems) * GradientColumns;
            stop = isRows ? (int)Math.Min((long)first + _rowsPerItem, rows) : Math.Min(first + GradientColumns, columns);
            return isRows;
        }
    }

    private readonly struct LayerNormWork(
        float* x, float* branch, float* weight, float* bias, float epsilon, float* sum, float* y, float* stats, int columns) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
            {
                long first = (long)row * columns;
                float* from = sum + first;
                if (branch is not null) AddRow(x + first, branch + first, from, columns);
                float mean = Sum(from, columns) / columns;
                float scale = 1 / MathF.Sqrt(SquaresAbout(from, mean, columns) / columns + epsilon);
                stats[2L * row] = mean;
                stats[2L * row + 1] = scale;
                Apply(from, mean, scale, y + first);
            }
        }

        private static float Sum(float* x, int count)
        {
            Vector256<float> sum0 = default, sum1 = default;
            int c = 0;
            for (; c + 16 <= count; c += 16)
            {
                sum0 += Vector256.Load(x + c);
                sum1 += Vector256.Load(x + c + 8);
            }
            float sum = Vector256.Sum(sum0 + sum1);
            for (; c < count; c++) sum += x[c];
            return sum;
        }

        /// <summary>Σ(x − mean)²; the difference of Σx² and its mean would cancel.</summary>
        private static float SquaresAbout(float* x, float mean, int count)
        {
            Vector256<float> center = Vector256.Create(mean), sum0 = default, sum1 = default;
            int c = 0;
            for (; c + 16 <= count; c += 16)
            {
                Vector256<float> d0 = Vector256.Load(x + c) - center, d1 = Vector256.Load(x + c + 8) - center;
                sum0 = Vector256.MultiplyAddEstimate(d0, d0, sum0);
                sum1 = Vector256.MultiplyAddEstimate(d1, d1, sum1);
            }
            float sum = Vector256.Sum(sum0 + sum1);
            for (; c < count; c++) sum += (x[c] - mean) * (x[c] - mean);
            return sum;
        }

        private void Apply(float* from, float mean, float scale, float* to)
        {
            Vector256<float> center = Vector256.Create(mean), factor = Vector256.Create(scale);
            int c = 0;
            for (; c + 8 <= columns; c += 8)
            {
                Vector256<float> normal = (Vector256.Load(from + c) - center) * factor;
                Vector256.MultiplyAddEstimate(normal, Vector256.Load(weight + c), Vector256.Load(bias + c)).Store(to + c);
            }
            for (; c < columns; c++) to[c] = (from[c] - mean) * scale * weight[c] + bias[c];
        }
    }

    private readonly struct LayerNormBackwardWork(
        float* dy, float* x, float* weight, float* stats, float* dx, float* dWeight, float* dBias, NormItems items) : IWork
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
            int columns = items.Columns;
            float* dyRow = dy + (long)row * columns, xRow = x + (long)row * columns, dxRow = dx + (long)row * columns;
            float mean = stats[2L * row], scale = stats[2L * row + 1];
            Vector256<float> center = Vector256.Create(mean), sums = default, products = default;
            int c = 0;
            for (; c + 8 <= columns; c += 8)
            {
                Vector256<float> g = Vector256.Load(dyRow + c) * Vector256.Load(weight + c);
                sums += g;
                products = Vector256.MultiplyAddEstimate(g, Vector256.Load(xRow + c) - center, products);
            }
            float sum = Vector256.Sum(sums), product = Vector256.Sum(products);
            for (; c < columns; c++)
            {
                sum += dyRow[c] * weight[c];
                product += dyRow[c] * weight[c] * (xRow[c] - mean);
            }
            // dx += scale·g − shift − slope·(x − μ)
            float shift = scale * sum / columns, slope = scale * scale * scale * product / columns;
            Vector256<float> scales = Vector256.Create(scale), shifts = Vector256.Create(shift), slopes = Vector256.Create(-slope);
            for (c = 0; c + 8 <= columns; c += 8)
            {
                Vector256<float> g = Vector256.Load(dyRow + c) * Vector256.Load(weight + c);
                Vector256<float> gradient = Vector256.MultiplyAddEstimate(scales, g, -shifts);
                gradient = Vector256.MultiplyAddEstimate(slopes, Vector256.Load(xRow + c) - center, gradient);
                (Vector256.Load(dxRow + c) + gradient).Store(dxRow + c);
            }
            for (; c < columns; c++) dxRow[c] += scale * dyRow[c] * weight[c] - shift - slope * (xRow[c] - mean);
        }

        private void Parameters(int column)
        {
            Vector256<float> weight0 = default, weight1 = default, bias0 = default, bias1 = default;
            float* dyRow = dy + column, xRow = x + column;
            for (int row = 0; row < items.Rows; row++, dyRow += items.Columns, xRow += items.Columns)
            {
                Vector256<float> center = Vector256.Create(stats[2L * row]), scale = Vector256.Create(stats[2L * row + 1]);
                Vector256<float> dy0 = Vector256.Load(dyRow), dy1 = Vector256.Load(dyRow + 8);
                weight0 = Vector256.MultiplyAddEstimate(dy0, (Vector256.Load(xRow) - center) * scale, weight0);
                weight1 = Vector256.MultiplyAddEstimate(dy1, (Vector256.Load(xRow + 8) - center) * scale, weight1);
                bias0 += dy0;
                bias1 += dy1;
            }
            (Vector256.Load(dWeight + column) + weight0).Store(dWeight + column);
            (Vector256.Load(dWeight + column + 8) + weight1).Store(dWeight + column + 8);
            (Vector256.Load(dBias + column) + bias0).Store(dBias + column);
            (Vector256.Load(dBias + column + 8) + bias1).Store(dBias + column + 8);
        }

        private void Parameter(int column)
        {
            float weightSum = 0, biasSum = 0;
            for (int row = 0; row < items.Rows; row++)
            {
                long i = (long)row * items.Columns + column;
                weightSum += dy[i] * ((x[i] - stats[2L * row]) * stats[2L * row + 1]);
                biasSum += dy[i];
            }
            dWeight[column] += weightSum;
            dBias[column] += biasSum;
        }
    }
}
