using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>Products of up to so many rows may be summed in another order than larger ones; of those, a row's bits do not depend on the number.</summary>
    public const int FewRows = 20;

    /// <summary>
    /// y = x·wᵀ + bias, the linear layer with weights stored as PyTorch and Hugging Face store them.
    /// On the CPU after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): see docs/design.md.
    /// </summary>
    /// <param name="x">[N, I].</param>
    /// <param name="w">[O, I], F32 or BF16; products are summed in fp32 either way.</param>
    /// <param name="bias">[O] or None.</param>
    /// <param name="y">[N, O]; none of the others. Of x's type, or F32 where x is BF16: logits.</param>
    public void MatMul(Tensor x, Tensor w, Tensor bias, Tensor y)
    {
        int rows = RequireProduct(x, w, y, nameof(MatMul));
        DType type = TypeOf(x);
        Require(x, rows, w.Shape.D1, type);
        Require(y, rows, w.Shape.D0, y.DType == type ? type : DType.F32);
        if (!bias.IsNone) Require(bias, w.Shape.D0);
        Require(y.Address != x.Address && y.Address != w.Address || y.Count == 0, "y must be another tensor than x and w.");
        using OpSpan traced = Traced(x, w, bias, y);
        MatMulCore(x, w, bias, y, rows);
    }

    /// <summary>dx = dy·w, written; dw += dyᵀ·x; dBias += Σₙ dyₙ. What is None is not computed.</summary>
    /// <param name="dy">[N, O], of w's type; or F32 where w is BF16: it is rounded first.</param>
    /// <param name="x">[N, I], the input of <see cref="MatMul"/>; may be None if dw is.</param>
    /// <param name="w">[O, I], of x's type: F32, and BF16 on CUDA.</param>
    /// <param name="dx">[N, I] or None; neither dy nor x.</param>
    /// <param name="dw">[O, I] or None; added to.</param>
    /// <param name="dBias">[O] or None; added to.</param>
    public void MatMulBackward(Tensor dy, Tensor x, Tensor w, Tensor dx, Tensor dw, Tensor dBias)
    {
        int rows = RequireProduct(x.IsNone ? dx : x, w, dy, nameof(MatMulBackward));
        DType type = TypeOf(w);
        Require(w, w.Shape.D0, w.Shape.D1, type);
        Require(dy, rows, w.Shape.D0, dy.DType == type ? type : DType.F32);
        if (!dw.IsNone || !x.IsNone) Require(x, rows, w.Shape.D1, type);
        if (!dx.IsNone)
        {
            Require(dx, rows, w.Shape.D1, type);
            Require((dx.Address != dy.Address && dx.Address != x.Address) || dx.Count == 0, "dx must be another tensor than dy and x.");
        }
        if (!dw.IsNone) Require(dw, w.Shape.D0, w.Shape.D1);
        if (!dBias.IsNone) Require(dBias, w.Shape.D0);
        using OpSpan traced = Traced(dy, x, w, dx);
        MatMulBackwardCore(dy, x, w, dx, dw, dBias, rows);
    }

    /// <summary>The number of rows of a product, from whichever side has columns.</summary>
    private int RequireProduct(Tensor x, Tensor w, Tensor y, string op)
    {
        Require(!w.IsNone && w.Shape.Rank == 2, $"w is {w}, but must be [O, I].", op);
        RequireWeight(w, w.Shape.D0, w.Shape.D1, op: op);
        return checked((int)(w.Shape.D1 > 0 && !x.IsNone ? x.Count / w.Shape.D1 : w.Shape.D0 > 0 ? y.Count / w.Shape.D0 : 0));
    }

    private protected abstract void MatMulCore(Tensor x, Tensor w, Tensor bias, Tensor y, int rows);

    private protected abstract void MatMulBackwardCore(Tensor dy, Tensor x, Tensor w, Tensor dx, Tensor dw, Tensor dBias, int rows);
}

public sealed unsafe partial class CpuOps
{
    private protected override void MatMulCore(Tensor x, Tensor w, Tensor bias, Tensor y, int rows)
    {
        int outputs = w.Shape.D0, inputs = w.Shape.D1;
        if (rows <= DotProduct.MostRows(inputs))
        {
            Dot(new DotProduct
            {
                Rows = rows,
                Outputs = outputs,
                Inputs = inputs,
                X = x.Floats(),
                W = (void*)w.Address,
                Bias = bias.Floats(),
                Y = y.Floats(),
            }, w.DType == DType.BF16);
            return;
        }
        GemmProduct product = new(rows, outputs, inputs)
        {
            A = x.Floats(),
            ARow = inputs,
            AStep = 1,
            B = (void*)w.Address,
            BRow = inputs,
            BIsTransposed = true,
            BIsBFloat16 = w.DType == DType.BF16,
            C = y.Floats(),
            Bias = bias.Floats(),
        };
        Multiply(product, default, default);
    }

    private protected override void MatMulBackwardCore(Tensor dy, Tensor x, Tensor w, Tensor dx, Tensor dw, Tensor dBias, int rows)
    {
        int outputs = w.Shape.D0, inputs = w.Shape.D1;
        GemmProduct toInput = dx.IsNone ? default : new(rows, inputs, outputs)
        {
            A = dy.Floats(),
            ARow = outputs,
            AStep = 1,
            B = w.Floats(),
            BRow = inputs,
            C = dx.Floats(),
        };
        GemmProduct toWeight = dw.IsNone ? default : new(outputs, inputs, rows)
        {
            A = dy.Floats(),
            ARow = 1,
            AStep = outputs,
            B = x.Floats(),
            BRow = inputs,
            C = dw.Floats(),
            Adds = true,
        };
        Multiply(toInput, toWeight, dBias.IsNone ? default : new ColumnSum(dy.Floats(), rows, outputs, dBias.Floats()));
    }
}
