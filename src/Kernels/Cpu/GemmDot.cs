using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// y = x·wᵀ + bias for a few rows of x, as dot products of vectors read where they lie: w is read once and nothing is
/// packed, so that a matrix times a vector costs what reading the matrix costs.
/// </summary>
internal readonly unsafe struct DotProduct
{
    /// <summary>
    /// Most rows that are done this way; above, packing w pays. Rows go in fours over each four outputs, whose weights come
    /// from the nearest cache after the first time. Where a dot product is short, adding up its lanes costs as much as itself.
    /// </summary>
    public static int MostRows(int inputs) => inputs < 256 ? 4 : Ops.FewRows;

    public int Rows { get; init; }

    public int Outputs { get; init; }

    public int Inputs { get; init; }

    /// <summary>[Rows, Inputs].</summary>
    public float* X { get; init; }

    /// <summary>[Outputs, Inputs], of the kernel's element type.</summary>
    public void* W { get; init; }

    /// <summary>[Outputs] or null.</summary>
    public float* Bias { get; init; }

    /// <summary>[Rows, Outputs].</summary>
    public float* Y { get; init; }
}

/// <summary>
/// The kernel of <see cref="DotProduct"/> for one type of weights and one width of vectors. Each output is summed in one
/// order whatever the number of rows, threads, and (but for rounding on load, which is exact) the type of weights.
/// </summary>
internal readonly unsafe struct DotWork<TElement, TVector, TLanes>(in DotProduct product) : IWork
    where TElement : unmanaged, IElement<TElement> where TVector : struct where TLanes : struct, ILanes<TVector>
{
    private const int RowBlock = 4;       // 4 × 4 accumulators
    private const int PrefetchBytes = 1536;

    private readonly DotProduct _product = product;

    /// <summary>
    /// Outputs <paramref name="begin"/> … <paramref name="end"/> − 1, one from each quarter of this range at a time: four
    /// streams through memory that are far apart and long. The weights of four neighbouring outputs would be four short
    /// runs in one or two pages, which the processor's prefetching does not follow (half the speed, measured).
    /// </summary>
    public void Run(int begin, int end, int worker)
    {
        int quarter = (end - begin) / 4, output = begin;
        for (int i = 0; i < quarter; i++, output++) AllRows<Const4>(output, quarter);
        for (output = begin + 4 * quarter; output < end; output++) AllRows<Const1>(output, 0);
    }

    private void AllRows<TOutputs>(int output, int apart) where TOutputs : IConst
    {
        for (int row = 0; row < _product.Rows; row += RowBlock)
            switch (_product.Rows - row)
            {
                case 1: Block<Const1, TOutputs>(row, output, apart); break;
                case 2: Block<Const2, TOutputs>(row, output, apart); break;
                case 3: Block<Const3, TOutputs>(row, output, apart); break;
                default: Block<Const4, TOutputs>(row, output, apart); break;
            }
    }

    private void Block<TRows, TOutputs>(int row, int output, int apart) where TRows : IConst where TOutputs : IConst
    {
        int inputs = _product.Inputs, k = 0;
        nint between = (nint)apart * inputs;
        float* x = _product.X + (nint)row * inputs;
        TElement* w0 = (TElement*)_product.W + (nint)output * inputs, w1 = w0 + between, w2 = w1 + between, w3 = w2 + between;
        TVector c00 = default, c01 = default, c02 = default, c03 = default;
        TVector c10 = default, c11 = default, c12 = default, c13 = default;
        TVector c20 = default, c21 = default, c22 = default, c23 = default;
        TVector c30 = default, c31 = default, c32 = default, c33 = default;
        for (; k + TLanes.Count <= inputs; k += TLanes.Count)
        {
            if (TOutputs.Value > 1 && row == 0) Prefetch(w0 + k, w1 + k, w2 + k, w3 + k);
            TVector b0 = TLanes.Load(w0 + k), b1 = b0, b2 = b0, b3 = b0;
            if (TOutputs.Value > 1)
            {
                b1 = TLanes.Load(w1 + k);
                b2 = TLanes.Load(w2 + k);
                b3 = TLanes.Load(w3 + k);
            }
            Add<TOutputs>(x + k, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
            if (TRows.Value > 1) Add<TOutputs>(x + k + inputs, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
            if (TRows.Value > 2) Add<TOutputs>(x + k + 2 * (nint)inputs, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
            if (TRows.Value > 3) Add<TOutputs>(x + k + 3 * (nint)inputs, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
        }
        float* y = _product.Y + (nint)row * _product.Outputs + output, bias = _product.Bias == null ? null : _product.Bias + output;
        Store<TOutputs>(y, bias, apart, c00, c01, c02, c03);
        if (TRows.Value > 1) Store<TOutputs>(y + _product.Outputs, bias, apart, c10, c11, c12, c13);
        if (TRows.Value > 2) Store<TOutputs>(y + 2 * (nint)_product.Outputs, bias, apart, c20, c21, c22, c23);
        if (TRows.Value > 3) Store<TOutputs>(y + 3 * (nint)_product.Outputs, bias, apart, c30, c31, c32, c33);
        // Only now, and not in Store: a call there would drive all sums out of their registers, in the loop too.
        if (k == inputs) return;
        for (int r = row; r < row + TRows.Value; r++)
            for (int o = 0; o < TOutputs.Value; o++) AddRest(r, output + o * apart, k);
    }

    /// <summary>Asks for what the four streams come to later, past the end of a row too: the next one follows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(TElement* w0, TElement* w1, TElement* w2, TElement* w3)
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch0((byte*)w0 + PrefetchBytes);
        Sse.Prefetch0((byte*)w1 + PrefetchBytes);
        Sse.Prefetch0((byte*)w2 + PrefetchBytes);
        Sse.Prefetch0((byte*)w3 + PrefetchBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TOutputs>(
        float* x, TVector b0, TVector b1, TVector b2, TVector b3,
        ref TVector c0, ref TVector c1, ref TVector c2, ref TVector c3) where TOutputs : IConst
    {
        TVector a = TLanes.Load((F32Element*)x);
        c0 = TLanes.MultiplyAdd(a, b0, c0);
        if (TOutputs.Value == 1) return;
        c1 = TLanes.MultiplyAdd(a, b1, c1);
        c2 = TLanes.MultiplyAdd(a, b2, c2);
        c3 = TLanes.MultiplyAdd(a, b3, c3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TOutputs>(float* y, float* bias, int apart, TVector c0, TVector c1, TVector c2, TVector c3)
        where TOutputs : IConst
    {
        if (TOutputs.Value == 1)
        {
            y[0] = TLanes.Sum(c0) + (bias == null ? 0 : bias[0]);
            return;
        }
        Vector128<float> sums = TLanes.Sums(c0, c1, c2, c3);
        if (bias != null) sums += Vector128.Create(bias[0], bias[apart], bias[2 * apart], bias[3 * apart]);
        y[0] = sums[0];
        y[apart] = sums[1];
        y[2 * apart] = sums[2];
        y[3 * apart] = sums[3];
    }

    /// <summary>The inputs from <paramref name="k"/> on, which fill no vector.</summary>
    private void AddRest(int row, int output, int k)
    {
        float* x = _product.X + (nint)row * _product.Inputs;
        TElement* w = (TElement*)_product.W + (nint)output * _product.Inputs;
        float sum = 0;
        for (; k < _product.Inputs; k++) sum += x[k] * TElement.Load(w + k);
        _product.Y[(nint)row * _product.Outputs + output] += sum;
    }
}
