using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The Q-type head without its V·A products: y[m, a] = x[m / K] · w[tokens[m]·A + a] + bias[tokens[m]·A + a], the
    /// A rows of the token that was taken (training, K = 1) or of K candidates (decoding).
    /// </summary>
    /// <param name="x">[M/K, C].</param>
    /// <param name="w">[V·A, C], F32 or BF16.</param>
    /// <param name="bias">[V·A] or None.</param>
    /// <param name="tokens">[M] I32, each in [0, V).</param>
    /// <param name="y">[M, A], F32 whatever x is: logits.</param>
    public void GatheredMatMul(Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y)
    {
        (int rows, int perRow, int atoms, int width) = GatheredSizes(x, w, bias, tokens, y);
        if (rows == 0 || perRow == 0) return;
        using OpSpan traced = Traced(x, w, bias, tokens);
        GatheredMatMulCore(x, w, bias, tokens, y, perRow, atoms, width);
    }

    /// <summary>Writes dx; adds to dw and dBias, touching the taken rows only. Several tokens of one prefix add up in dx.</summary>
    /// <param name="dy">[M, A], F32.</param>
    /// <param name="w">[V·A, C], F32 or BF16.</param>
    /// <param name="dx">[M/K, C].</param>
    /// <param name="dw">[V·A, C], F32.</param>
    /// <param name="dBias">[V·A], F32, or None.</param>
    public void GatheredMatMulBackward(Tensor dy, Tensor x, Tensor w, Tensor tokens, Tensor dx, Tensor dw, Tensor dBias)
    {
        (int rows, int perRow, int atoms, int width) = GatheredSizes(x, w, dBias, tokens, dy);
        Require(dx, rows, width, TypeOf(x));
        Require(dw, w.Shape.Rows, width);
        if (rows == 0) return;
        using OpSpan traced = Traced(dy, x, w, tokens);
        GatheredMatMulBackwardCore(dy, x, w, tokens, dx, dw, dBias, perRow, atoms, width);
    }

    private (int Rows, int PerRow, int Atoms, int Width) GatheredSizes(Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y)
    {
        int width = w.Shape.Last, count = (int)tokens.Count, rows = x.Shape.Rows;
        Require(tokens, count, DType.I32);
        Require(x, rows, width, TypeOf(x));
        RequireWeight(w, w.Shape.Rows, width);
        Require(rows == 0 ? count == 0 : count % rows == 0, $"{count} tokens do not divide among {rows} rows.");
        int atoms = y.Shape.Last;
        Require(y, count, atoms);
        Require(atoms > 0 && w.Shape.Rows % atoms == 0, $"{w.Shape.Rows} rows of the head are not a multiple of {atoms} atoms.");
        if (!bias.IsNone) Require(bias, w.Shape.Rows);
        return (rows, rows == 0 ? 0 : count / rows, atoms, width);
    }

    private protected abstract void GatheredMatMulCore(Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y, int perRow, int atoms, int width);

    private protected abstract void GatheredMatMulBackwardCore(
        Tensor dy, Tensor x, Tensor w, Tensor tokens, Tensor dx, Tensor dw, Tensor dBias, int perRow, int atoms, int width);
}

public sealed unsafe partial class CpuOps
{
    // Backward is cut by columns, so that each element of dw is summed by one thread in the order of the rows.
    private const int GatheredColumns = 32;

    private protected override void GatheredMatMulCore(Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y, int perRow, int atoms, int width)
    {
        RequireRows(tokens, w.Shape.Rows / atoms, nameof(GatheredMatMul), "token");
        if (w.DType == DType.BF16) Gathered((BF16Element*)w.Address);
        else Gathered((F32Element*)w.Address);

        void Gathered<TElement>(TElement* weights) where TElement : unmanaged, IElement<TElement> =>
            _workers.For((int)tokens.Count, Grain((long)atoms * width), new GatheredForwardWork<TElement>(
                x.Floats(), weights, bias.Floats(), tokens.Ints(), y.Floats(), perRow, atoms, width));
    }

    private protected override void GatheredMatMulBackwardCore(
        Tensor dy, Tensor x, Tensor w, Tensor tokens, Tensor dx, Tensor dw, Tensor dBias, int perRow, int atoms, int width)
    {
        RequireRows(tokens, w.Shape.Rows / atoms, nameof(GatheredMatMulBackward), "token");
        int count = (int)tokens.Count;
        if (w.DType == DType.BF16) Products((BF16Element*)w.Address);
        else Products((F32Element*)w.Address);
        if (dBias.IsNone) return;
        float* gradient = dy.Floats(), biasGradient = dBias.Floats();
        int* token = tokens.Ints();
        for (int m = 0; m < count; m++)
            for (int a = 0; a < atoms; a++) biasGradient[(long)token[m] * atoms + a] += gradient[(long)m * atoms + a];

        void Products<TElement>(TElement* weights) where TElement : unmanaged, IElement<TElement> =>
            _workers.For((width + GatheredColumns - 1) / GatheredColumns, 1, new GatheredBackwardWork<TElement>(
                dy.Floats(), x.Floats(), weights, tokens.Ints(), dx.Floats(), dw.Floats(), count, perRow, atoms, width));
    }

    private readonly struct GatheredForwardWork<TElement>(
        float* x, TElement* w, float* bias, int* tokens, float* y, int perRow, int atoms, int width) : IWork
        where TElement : unmanaged, IElement<TElement>
    {
        public void Run(int begin, int end, int worker)
        {
            for (int m = begin; m < end; m++)
            {
                float* row = x + (long)(m / perRow) * width;
                for (int a = 0; a < atoms; a++)
                {
                    long index = (long)tokens[m] * atoms + a;
                    float sum = VectorMath.Dot(row, w + index * width, width);
                    y[(long)m * atoms + a] = sum + (bias == null ? 0 : bias[index]);
                }
            }
        }
    }

    private readonly struct GatheredBackwardWork<TElement>(
        float* dy, float* x, TElement* w, int* tokens, float* dx, float* dw, int count, int perRow, int atoms, int width) : IWork
        where TElement : unmanaged, IElement<TElement>
    {
        public void Run(int begin, int end, int worker)
        {
            int first = begin * GatheredColumns, last = Math.Min(end * GatheredColumns, width);
            for (int m = 0; m < count; m++)
            {
                float* dxRow = dx + (long)(m / perRow) * width, xRow = x + (long)(m / perRow) * width;
                if (m % perRow == 0) new Span<float>(dxRow + first, last - first).Clear();
                for (int a = 0; a < atoms; a++)
                {
                    long index = ((long)tokens[m] * atoms + a) * width;
                    float g = dy[(long)m * atoms + a];
                    for (int c = first; c < last; c++)
                    {
                        dxRow[c] += g * TElement.Load(w + index + c);
                        dw[index + c] += g * xRow[c];
                    }
                }
            }
        }
    }
}
