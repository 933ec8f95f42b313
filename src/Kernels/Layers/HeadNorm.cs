using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Normalises every query and every key of packed heads by its own root mean square, before the rotation by position
    /// ("QK-norm", as in Qwen3; Henry et al. 2020, Dehghani et al. 2023): y = x / √(mean(x²) + ε) · weight over the D
    /// elements of a head. One weight serves all query heads and one all key heads. Values are copied.
    /// </summary>
    /// <param name="qkv">[N, (H + 2G)·D]: heads of queries, then of keys, then of values.</param>
    /// <param name="queryWeight">[D].</param>
    /// <param name="keyWeight">[D].</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G, a divisor of H.</param>
    /// <param name="epsilon">Positive.</param>
    /// <param name="y">[N, (H + 2G)·D]; may be qkv.</param>
    /// <param name="rstd">[N, H + G]: 1/√(mean(x²) + ε) of each query and key, kept for backward.</param>
    public void HeadNorm(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, int heads, int kvHeads, float epsilon, Tensor y, Tensor rstd)
    {
        HeadNormSizes sizes = RequireHeadNorm(qkv, queryWeight, keyWeight, heads, kvHeads, rstd);
        Require(epsilon > 0, $"epsilon is {epsilon}, but must be positive.");
        Require(y, sizes.Rows, sizes.Width, TypeOf(qkv));
        using OpSpan traced = Traced(qkv, queryWeight, keyWeight, y);
        HeadNormCore(qkv, queryWeight, keyWeight, sizes, epsilon, y, rstd);
    }

    /// <summary>
    /// With s = rstd and g = dy · weight, for each query and key: dx = s·g − s³·x·mean(g·x), dWeight += Σ dy · x · s over its
    /// rows and heads; for values dx = dy.
    /// </summary>
    /// <param name="dy">[N, (H + 2G)·D].</param>
    /// <param name="qkv">[N, (H + 2G)·D], the input of <see cref="HeadNorm"/>, so backward needs it kept.</param>
    /// <param name="queryWeight">[D].</param>
    /// <param name="keyWeight">[D].</param>
    /// <param name="rstd">[N, H + G], as written by <see cref="HeadNorm"/>.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G.</param>
    /// <param name="dx">[N, (H + 2G)·D], written; may be dy, not qkv.</param>
    /// <param name="dQueryWeight">[D]; adds.</param>
    /// <param name="dKeyWeight">[D]; adds.</param>
    public void HeadNormBackward(
        Tensor dy, Tensor qkv, Tensor queryWeight, Tensor keyWeight, Tensor rstd, int heads, int kvHeads,
        Tensor dx, Tensor dQueryWeight, Tensor dKeyWeight)
    {
        HeadNormSizes sizes = RequireHeadNorm(qkv, queryWeight, keyWeight, heads, kvHeads, rstd);
        Require(dy, sizes.Rows, sizes.Width, TypeOf(qkv));
        Require(dx, sizes.Rows, sizes.Width, TypeOf(qkv));
        Require(dx.Address != qkv.Address || dx.Count == 0, "dx must be another tensor than qkv.");
        Require(dQueryWeight, sizes.HeadDim);
        Require(dKeyWeight, sizes.HeadDim);
        using OpSpan traced = Traced(dy, qkv, queryWeight, keyWeight);
        HeadNormBackwardCore(dy, qkv, queryWeight, keyWeight, rstd, sizes, dx, dQueryWeight, dKeyWeight);
    }

    private HeadNormSizes RequireHeadNorm(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, int heads, int kvHeads, Tensor rstd,
        [CallerMemberName] string op = "")
    {
        HeadNormSizes sizes = new(qkv.Shape.Rows, heads, kvHeads, RequireHeads(qkv, heads, kvHeads, op));
        Require(queryWeight, sizes.HeadDim, op: op);
        Require(keyWeight, sizes.HeadDim, op: op);
        Require(rstd, sizes.Rows, sizes.Normed, op: op);
        return sizes;
    }

    private protected abstract void HeadNormCore(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, HeadNormSizes sizes, float epsilon, Tensor y, Tensor rstd);

    private protected abstract void HeadNormBackwardCore(
        Tensor dy, Tensor qkv, Tensor queryWeight, Tensor keyWeight, Tensor rstd, HeadNormSizes sizes,
        Tensor dx, Tensor dQueryWeight, Tensor dKeyWeight);
}

/// <summary>N rows of H query heads, G key and G value heads, all of size D.</summary>
internal readonly record struct HeadNormSizes(int Rows, int Heads, int KvHeads, int HeadDim)
{
    public int Width => (Heads + 2 * KvHeads) * HeadDim;

    /// <summary>Heads of a row that are normalised: those of the queries and of the keys.</summary>
    public int Normed => Heads + KvHeads;
}

public sealed unsafe partial class CpuOps
{
    private protected override void HeadNormCore(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, HeadNormSizes sizes, float epsilon, Tensor y, Tensor rstd) =>
        _workers.For(sizes.Rows, Grain(2 * sizes.Width), new HeadNormWork(
            qkv.Floats(), queryWeight.Floats(), keyWeight.Floats(), sizes, epsilon, y.Floats(), rstd.Floats()));

    private protected override void HeadNormBackwardCore(
        Tensor dy, Tensor qkv, Tensor queryWeight, Tensor keyWeight, Tensor rstd, HeadNormSizes sizes,
        Tensor dx, Tensor dQueryWeight, Tensor dKeyWeight)
    {
        if (sizes.Rows == 0) return;
        // The weights first: dx may overwrite dy.
        HeadNormWeightWork weights = new(dy.Floats(), qkv.Floats(), rstd.Floats(), sizes, dQueryWeight.Floats(), dKeyWeight.Floats());
        _workers.For(weights.Items, 1, weights);
        _workers.For(sizes.Rows, Grain(4 * sizes.Width), new HeadNormInputWork(
            dy.Floats(), qkv.Floats(), queryWeight.Floats(), keyWeight.Floats(), rstd.Floats(), sizes, dx.Floats()));
    }

    private readonly struct HeadNormWork(
        float* qkv, float* queryWeight, float* keyWeight, HeadNormSizes sizes, float epsilon, float* y, float* rstd) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int dim = sizes.HeadDim;
            for (int row = begin; row < end; row++)
            {
                float* from = qkv + (long)row * sizes.Width, to = y + (long)row * sizes.Width, scales = rstd + (long)row * sizes.Normed;
                for (int head = 0; head < sizes.Normed; head++, from += dim, to += dim)
                    scales[head] = RmsRow.Normalize(from, head < sizes.Heads ? queryWeight : keyWeight, epsilon, to, dim);
                int values = sizes.KvHeads * dim;
                new ReadOnlySpan<float>(from, values).CopyTo(new Span<float>(to, values));
            }
        }
    }

    private readonly struct HeadNormInputWork(
        float* dy, float* qkv, float* queryWeight, float* keyWeight, float* rstd, HeadNormSizes sizes, float* dx) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int dim = sizes.HeadDim;
            for (int row = begin; row < end; row++)
            {
                long first = (long)row * sizes.Width;
                float* from = dy + first, x = qkv + first, to = dx + first, scales = rstd + (long)row * sizes.Normed;
                for (int head = 0; head < sizes.Normed; head++, from += dim, x += dim, to += dim)
                    RmsRow.Gradient(from, x, head < sizes.Heads ? queryWeight : keyWeight, scales[head], adds: false, to, dim);
                int values = sizes.KvHeads * dim;
                new ReadOnlySpan<float>(from, values).CopyTo(new Span<float>(to, values));
            }
        }
    }

    /// <summary>An item is a block of columns of one weight, summed over rows and then heads in order.</summary>
    private readonly struct HeadNormWeightWork(
        float* dy, float* qkv, float* rstd, HeadNormSizes sizes, float* dQueryWeight, float* dKeyWeight) : IWork
    {
        public int Items => 2 * ItemsOfWeight;

        private int ItemsOfWeight => (sizes.HeadDim + GradientColumns - 1) / GradientColumns;

        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
            {
                bool isQuery = item < ItemsOfWeight;
                int column = (isQuery ? item : item - ItemsOfWeight) * GradientColumns;
                int firstHead = isQuery ? 0 : sizes.Heads, heads = isQuery ? sizes.Heads : sizes.KvHeads;
                float* dWeight = isQuery ? dQueryWeight : dKeyWeight;
                if (column + GradientColumns <= sizes.HeadDim) Columns(column, firstHead, heads, dWeight);
                else
                    for (; column < sizes.HeadDim; column++) Column(column, firstHead, heads, dWeight);
            }
        }

        private void Columns(int column, int firstHead, int heads, float* dWeight)
        {
            Vector256<float> sum0 = default, sum1 = default;
            for (int row = 0; row < sizes.Rows; row++)
            {
                long first = (long)row * sizes.Width + firstHead * sizes.HeadDim + column;
                float* gradient = dy + first, x = qkv + first, scales = rstd + (long)row * sizes.Normed + firstHead;
                for (int head = 0; head < heads; head++, gradient += sizes.HeadDim, x += sizes.HeadDim)
                {
                    Vector256<float> scale = Vector256.Create(scales[head]);
                    sum0 = Vector256.MultiplyAddEstimate(Vector256.Load(gradient), Vector256.Load(x) * scale, sum0);
                    sum1 = Vector256.MultiplyAddEstimate(Vector256.Load(gradient + 8), Vector256.Load(x + 8) * scale, sum1);
                }
            }
            (Vector256.Load(dWeight + column) + sum0).Store(dWeight + column);
            (Vector256.Load(dWeight + column + 8) + sum1).Store(dWeight + column + 8);
        }

        private void Column(int column, int firstHead, int heads, float* dWeight)
        {
            float sum = 0;
            for (int row = 0; row < sizes.Rows; row++)
            {
                long first = (long)row * sizes.Width + firstHead * sizes.HeadDim + column;
                float* scales = rstd + (long)row * sizes.Normed + firstHead;
                for (int head = 0; head < heads; head++, first += sizes.HeadDim) sum += dy[first] * (qkv[first] * scales[head]);
            }
            dWeight[column] += sum;
        }
    }
}
