using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// Tiles of 6 × 16 in 12 accumulators for machines with 16 registers of 256 bits (AVX2 and FMA).
/// </summary>
internal readonly unsafe struct GemmKernel256 : IGemmKernel
{
    public static int Rows => 6;

    public static int Lanes => 8;

    public static int Vectors => 2;

    public static int Panels => 4;

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
            case 4: Tile<Const4, TVectors>(tile); return;
            case 5: Tile<Const5, TVectors>(tile); return;
            default: Tile<Const6, TVectors>(tile); return;
        }
    }

    private static void Tile<TRows, TVectors>(in GemmTile tile) where TRows : IConst where TVectors : IConst
    {
        float* b = tile.B, a = tile.A;
        nint row = tile.ARow, step = tile.AStep, bStep = tile.BStep;
        float* a3 = a + 3 * row;
        Vector256<float> c00 = Vector256<float>.Zero, c01 = Vector256<float>.Zero;
        Vector256<float> c10 = Vector256<float>.Zero, c11 = Vector256<float>.Zero;
        Vector256<float> c20 = Vector256<float>.Zero, c21 = Vector256<float>.Zero;
        Vector256<float> c30 = Vector256<float>.Zero, c31 = Vector256<float>.Zero;
        Vector256<float> c40 = Vector256<float>.Zero, c41 = Vector256<float>.Zero;
        Vector256<float> c50 = Vector256<float>.Zero, c51 = Vector256<float>.Zero;
        for (int k = tile.K; k > 0; k--)
        {
            Vector256<float> b0 = Vector256.Load(b);
            Vector256<float> b1 = TVectors.Value > 1 ? Vector256.Load(b + 1 * Lanes) : b0;
            Vector256<float> x0 = Vector256.Create(*a);
            c00 = Vector256.FusedMultiplyAdd(x0, b0, c00);
            if (TVectors.Value > 1) c01 = Vector256.FusedMultiplyAdd(x0, b1, c01);
            if (TRows.Value > 1)
            {
                Vector256<float> x1 = Vector256.Create(a[row]);
                c10 = Vector256.FusedMultiplyAdd(x1, b0, c10);
                if (TVectors.Value > 1) c11 = Vector256.FusedMultiplyAdd(x1, b1, c11);
            }
            if (TRows.Value > 2)
            {
                Vector256<float> x2 = Vector256.Create(a[2 * row]);
                c20 = Vector256.FusedMultiplyAdd(x2, b0, c20);
                if (TVectors.Value > 1) c21 = Vector256.FusedMultiplyAdd(x2, b1, c21);
            }
            if (TRows.Value > 3)
            {
                Vector256<float> x3 = Vector256.Create(*a3);
                c30 = Vector256.FusedMultiplyAdd(x3, b0, c30);
                if (TVectors.Value > 1) c31 = Vector256.FusedMultiplyAdd(x3, b1, c31);
            }
            if (TRows.Value > 4)
            {
                Vector256<float> x4 = Vector256.Create(a3[row]);
                c40 = Vector256.FusedMultiplyAdd(x4, b0, c40);
                if (TVectors.Value > 1) c41 = Vector256.FusedMultiplyAdd(x4, b1, c41);
            }
            if (TRows.Value > 5)
            {
                Vector256<float> x5 = Vector256.Create(a3[2 * row]);
                c50 = Vector256.FusedMultiplyAdd(x5, b0, c50);
                if (TVectors.Value > 1) c51 = Vector256.FusedMultiplyAdd(x5, b1, c51);
            }
            a += step;
            if (TRows.Value > 3) a3 += step;
            b += bStep;
        }
        Finish<TVectors>(tile, 0, c00, c01);
        if (TRows.Value > 1) Finish<TVectors>(tile, 1, c10, c11);
        if (TRows.Value > 2) Finish<TVectors>(tile, 2, c20, c21);
        if (TRows.Value > 3) Finish<TVectors>(tile, 3, c30, c31);
        if (TRows.Value > 4) Finish<TVectors>(tile, 4, c40, c41);
        if (TRows.Value > 5) Finish<TVectors>(tile, 5, c50, c51);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<TVectors>(in GemmTile tile, int row, Vector256<float> s0, Vector256<float> s1) where TVectors : IConst
    {
        float* c = tile.C + row * tile.CRow;
        float* plus = tile.Adds ? c : tile.Bias;
        if (plus != null)
        {
            s0 += Vector256.Load(plus);
            if (TVectors.Value > 1) s1 += Vector256.Load(plus + 1 * Lanes);
        }
        s0.Store(c);
        if (TVectors.Value > 1) s1.Store(c + 1 * Lanes);
    }
}
