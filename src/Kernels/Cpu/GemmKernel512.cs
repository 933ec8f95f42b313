using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// Tiles of 8 × 48 in 24 accumulators for machines with 32 registers of 512 bits. Each step of K does 24 multiply-adds
/// for 11 loads, so that neither the load ports nor the level-2 cache, from which B streams, is the limit.
/// </summary>
internal readonly unsafe struct GemmKernel512 : IGemmKernel
{
    public static int Rows => 8;

    public static int Lanes => 16;

    public static int Vectors => 3;

    public static int Panels => 1;

    public static void Tile(int rows, int vectors, in GemmTile tile)
    {
        switch (vectors)
        {
            case 1: Tile<Const1>(rows, tile); return;
            case 2: Tile<Const2>(rows, tile); return;
            default: Tile<Const3>(rows, tile); return;
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
            case 6: Tile<Const6, TVectors>(tile); return;
            case 7: Tile<Const7, TVectors>(tile); return;
            default: Tile<Const8, TVectors>(tile); return;
        }
    }

    private static void Tile<TRows, TVectors>(in GemmTile tile) where TRows : IConst where TVectors : IConst
    {
        float* b = tile.B, a = tile.A;
        nint row = tile.ARow, step = tile.AStep, bStep = tile.BStep;
        float* a3 = a + 3 * row;
        float* a6 = a + 6 * row;
        Vector512<float> c00 = Vector512<float>.Zero, c01 = Vector512<float>.Zero, c02 = Vector512<float>.Zero;
        Vector512<float> c10 = Vector512<float>.Zero, c11 = Vector512<float>.Zero, c12 = Vector512<float>.Zero;
        Vector512<float> c20 = Vector512<float>.Zero, c21 = Vector512<float>.Zero, c22 = Vector512<float>.Zero;
        Vector512<float> c30 = Vector512<float>.Zero, c31 = Vector512<float>.Zero, c32 = Vector512<float>.Zero;
        Vector512<float> c40 = Vector512<float>.Zero, c41 = Vector512<float>.Zero, c42 = Vector512<float>.Zero;
        Vector512<float> c50 = Vector512<float>.Zero, c51 = Vector512<float>.Zero, c52 = Vector512<float>.Zero;
        Vector512<float> c60 = Vector512<float>.Zero, c61 = Vector512<float>.Zero, c62 = Vector512<float>.Zero;
        Vector512<float> c70 = Vector512<float>.Zero, c71 = Vector512<float>.Zero, c72 = Vector512<float>.Zero;
        for (int k = tile.K; k > 0; k--)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> b1 = TVectors.Value > 1 ? Vector512.Load(b + 1 * Lanes) : b0;
            Vector512<float> b2 = TVectors.Value > 2 ? Vector512.Load(b + 2 * Lanes) : b0;
            Vector512<float> x0 = Vector512.Create(*a);
            c00 = Vector512.FusedMultiplyAdd(x0, b0, c00);
            if (TVectors.Value > 1) c01 = Vector512.FusedMultiplyAdd(x0, b1, c01);
            if (TVectors.Value > 2) c02 = Vector512.FusedMultiplyAdd(x0, b2, c02);
            if (TRows.Value > 1)
            {
                Vector512<float> x1 = Vector512.Create(a[row]);
                c10 = Vector512.FusedMultiplyAdd(x1, b0, c10);
                if (TVectors.Value > 1) c11 = Vector512.FusedMultiplyAdd(x1, b1, c11);
                if (TVectors.Value > 2) c12 = Vector512.FusedMultiplyAdd(x1, b2, c12);
            }
            if (TRows.Value > 2)
            {
                Vector512<float> x2 = Vector512.Create(a[2 * row]);
                c20 = Vector512.FusedMultiplyAdd(x2, b0, c20);
                if (TVectors.Value > 1) c21 = Vector512.FusedMultiplyAdd(x2, b1, c21);
                if (TVectors.Value > 2) c22 = Vector512.FusedMultiplyAdd(x2, b2, c22);
            }
            if (TRows.Value > 3)
            {
                Vector512<float> x3 = Vector512.Create(*a3);
                c30 = Vector512.FusedMultiplyAdd(x3, b0, c30);
                if (TVectors.Value > 1) c31 = Vector512.FusedMultiplyAdd(x3, b1, c31);
                if (TVectors.Value > 2) c32 = Vector512.FusedMultiplyAdd(x3, b2, c32);
            }
            if (TRows.Value > 4)
            {
                Vector512<float> x4 = Vector512.Create(a3[row]);
                c40 = Vector512.FusedMultiplyAdd(x4, b0, c40);
                if (TVectors.Value > 1) c41 = Vector512.FusedMultiplyAdd(x4, b1, c41);
                if (TVectors.Value > 2) c42 = Vector512.FusedMultiplyAdd(x4, b2, c42);
            }
            if (TRows.Value > 5)
            {
                Vector512<float> x5 = Vector512.Create(a3[2 * row]);
                c50 = Vector512.FusedMultiplyAdd(x5, b0, c50);
                if (TVectors.Value > 1) c51 = Vector512.FusedMultiplyAdd(x5, b1, c51);
                if (TVectors.Value > 2) c52 = Vector512.FusedMultiplyAdd(x5, b2, c52);
            }
            if (TRows.Value > 6)
            {
                Vector512<float> x6 = Vector512.Create(*a6);
                c60 = Vector512.FusedMultiplyAdd(x6, b0, c60);
                if (TVectors.Value > 1) c61 = Vector512.FusedMultiplyAdd(x6, b1, c61);
                if (TVectors.Value > 2) c62 = Vector512.FusedMultiplyAdd(x6, b2, c62);
            }
            if (TRows.Value > 7)
            {
                Vector512<float> x7 = Vector512.Create(a6[row]);
                c70 = Vector512.FusedMultiplyAdd(x7, b0, c70);
                if (TVectors.Value > 1) c71 = Vector512.FusedMultiplyAdd(x7, b1, c71);
                if (TVectors.Value > 2) c72 = Vector512.FusedMultiplyAdd(x7, b2, c72);
            }
            a += step;
            if (TRows.Value > 3) a3 += step;
            if (TRows.Value > 6) a6 += step;
            b += bStep;
        }
        Finish<TVectors>(tile, 0, c00, c01, c02);
        if (TRows.Value > 1) Finish<TVectors>(tile, 1, c10, c11, c12);
        if (TRows.Value > 2) Finish<TVectors>(tile, 2, c20, c21, c22);
        if (TRows.Value > 3) Finish<TVectors>(tile, 3, c30, c31, c32);
        if (TRows.Value > 4) Finish<TVectors>(tile, 4, c40, c41, c42);
        if (TRows.Value > 5) Finish<TVectors>(tile, 5, c50, c51, c52);
        if (TRows.Value > 6) Finish<TVectors>(tile, 6, c60, c61, c62);
        if (TRows.Value > 7) Finish<TVectors>(tile, 7, c70, c71, c72);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<TVectors>(
        in GemmTile tile, int row, Vector512<float> s0, Vector512<float> s1, Vector512<float> s2) where TVectors : IConst
    {
        float* c = tile.C + row * tile.CRow;
        float* plus = tile.Adds ? c : tile.Bias;
        if (plus != null)
        {
            s0 += Vector512.Load(plus);
            if (TVectors.Value > 1) s1 += Vector512.Load(plus + 1 * Lanes);
            if (TVectors.Value > 2) s2 += Vector512.Load(plus + 2 * Lanes);
        }
        s0.Store(c);
        if (TVectors.Value > 1) s1.Store(c + 1 * Lanes);
        if (TVectors.Value > 2) s2.Store(c + 2 * Lanes);
    }
}
