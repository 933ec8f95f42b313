using System.Numerics;
using System.Runtime.CompilerServices;

namespace QSharp.Kernels;

/// <summary>
/// Tiles of 4 × 2 vectors of whatever width the machine has.
/// </summary>
internal readonly unsafe struct GemmKernelAny : IGemmKernel
{
    public static int Rows => 4;

    public static int Lanes => Vector<float>.Count;

    public static int Vectors => 2;

    public static int Panels => 1;

    public static void Tile(int rows, int vectors, in GemmTile tile)
    {
        switch (vectors)
        {
            case 1: Tile<Const1>(rows, tile); return;
            default: Tile<Const2>(rows, tile); return;
        }
    }

    private static void Tile<TVectors>(int rows, in GemmTile tile) where TVectors : IConst
    {
        switch (rows)
        {
            case 1: Tile<Const1, TVectors>(tile); return;
            case 2: Tile<Const2, TVectors>(tile); return;
            case 3: Tile<Const3, TVectors>(tile); return;
            default: Tile<Const4, TVectors>(tile); return;
        }
    }

    private static void Tile<TRows, TVectors>(in GemmTile tile) where TRows : IConst where TVectors : IConst
    {
        float* b = tile.B, a = tile.A;
        nint row = tile.ARow, step = tile.AStep, bStep = tile.BStep;
        float* a3 = a + 3 * row;
        Vector<float> c00 = Vector<float>.Zero, c01 = Vector<float>.Zero;
        Vector<float> c10 = Vector<float>.Zero, c11 = Vector<float>.Zero;
        Vector<float> c20 = Vector<float>.Zero, c21 = Vector<float>.Zero;
        Vector<float> c30 = Vector<float>.Zero, c31 = Vector<float>.Zero;
        for (int k = tile.K; k > 0; k--)
        {
            Vector<float> b0 = Vector.Load(b);
            Vector<float> b1 = TVectors.Value > 1 ? Vector.Load(b + 1 * Lanes) : b0;
            Vector<float> x0 = new Vector<float>(*a);
            c00 = Vector.MultiplyAddEstimate(x0, b0, c00);
            if (TVectors.Value > 1) c01 = Vector.MultiplyAddEstimate(x0, b1, c01);
            if (TRows.Value > 1)
            {
                Vector<float> x1 = new Vector<float>(a[row]);
                c10 = Vector.MultiplyAddEstimate(x1, b0, c10);
                if (TVectors.Value > 1) c11 = Vector.MultiplyAddEstimate(x1, b1, c11);
            }
            if (TRows.Value > 2)
            {
                Vector<float> x2 = new Vector<float>(a[2 * row]);
                c20 = Vector.MultiplyAddEstimate(x2, b0, c20);
                if (TVectors.Value > 1) c21 = Vector.MultiplyAddEstimate(x2, b1, c21);
            }
            if (TRows.Value > 3)
            {
                Vector<float> x3 = new Vector<float>(*a3);
                c30 = Vector.MultiplyAddEstimate(x3, b0, c30);
                if (TVectors.Value > 1) c31 = Vector.MultiplyAddEstimate(x3, b1, c31);
            }
            a += step;
            if (TRows.Value > 3) a3 += step;
            b += bStep;
        }
        Finish<TVectors>(tile, 0, c00, c01);
        if (TRows.Value > 1) Finish<TVectors>(tile, 1, c10, c11);
        if (TRows.Value > 2) Finish<TVectors>(tile, 2, c20, c21);
        if (TRows.Value > 3) Finish<TVectors>(tile, 3, c30, c31);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<TVectors>(in GemmTile tile, int row, Vector<float> s0, Vector<float> s1) where TVectors : IConst
    {
        float* c = tile.C + row * tile.CRow;
        float* plus = tile.Adds ? c : tile.Bias;
        if (plus != null)
        {
            s0 += Vector.Load(plus);
            if (TVectors.Value > 1) s1 += Vector.Load(plus + 1 * Lanes);
        }
        Vector.Store(s0, c);
        if (TVectors.Value > 1) Vector.Store(s1, c + 1 * Lanes);
    }
}
