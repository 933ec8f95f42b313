using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QSharp.Kernels;

/// <summary>Which kernel does products: the widest that the machine has, or another one in tests.</summary>
internal enum GemmPath
{
    /// <summary>Vectors of whatever width, on every machine.</summary>
    Any,

    /// <summary>AVX2 and FMA.</summary>
    Vector256,

    /// <summary>AVX-512.</summary>
    Vector512,
}

/// <summary>
/// C[M, N] = A·B + bias, or C += A·B. A is [M, K] or its transpose is stored, likewise B: strides say which.
/// C is cut into items: groups of panels, as wide as a kernel's tile, times blocks of rows. An item packs its part of B
/// (at most <see cref="MostSteps"/> rows at a time) and goes down its rows with the kernel, a few tiles on each panel in turn: so A comes
/// once for all panels of the group from beyond the level-2 cache, and a panel stays in level 1 for these tiles.
/// </summary>
internal readonly unsafe struct GemmProduct
{
    /// <summary>Steps of K in one packed panel: 256 · 48 floats stay in the level-2 cache, most of them in level 1.</summary>
    public const int MostSteps = 256;

    private const int FewestRows = 128;   // packing costs as much as about four rows of arithmetic
    private const int UnpackedRows = 32;  // fewer rows read a plain B where it lies
    private const int CachedFloats = 1 << 18;   // of C: 1 MiB, a level-2 cache
    private const int WantedItems = 8;    // so that two to four threads end at about the same time
    private const int TilesInTurn = 16;   // their part of A is about 100 KiB

    public GemmProduct(int m, int n, int k)
    {
        M = m;
        N = n;
        K = k;
    }

    public int M { get; }

    public int N { get; }

    public int K { get; }

    public float* A { get; init; }

    public nint ARow { get; init; }

    public nint AStep { get; init; }

    /// <summary>Floats, or BF16 where <see cref="BIsBFloat16"/>.</summary>
    public void* B { get; init; }

    /// <summary>Elements between two rows of B as it is stored.</summary>
    public nint BRow { get; init; }

    /// <summary>Whether B is stored as [N, K], or else as [K, N].</summary>
    public bool BIsTransposed { get; init; }

    /// <summary>Only together with <see cref="BIsTransposed"/>: packing widens it.</summary>
    public bool BIsBFloat16 { get; init; }

    /// <summary>[M, N], contiguous.</summary>
    public float* C { get; init; }

    /// <summary>[N] or null.</summary>
    public float* Bias { get; init; }

    public bool Adds { get; init; }

    public long MultiplyAdds => (long)M * N * K;

    /// <summary>How C is cut; by its size alone.</summary>
    public GemmCut Cut<TKernel>() where TKernel : struct, IGemmKernel
    {
        if (M == 0 || N == 0 || (K == 0 && Adds)) return default;
        int vectors = (N + TKernel.Lanes - 1) / TKernel.Lanes;
        int panels = (vectors + TKernel.Vectors - 1) / TKernel.Vectors;
        int tiles = (M + TKernel.Rows - 1) / TKernel.Rows;
        int blocks = Math.Min((WantedItems + panels - 1) / panels, Math.Max(M / FewestRows, 1));
        if (panels * blocks < 2) blocks = Math.Min(2, tiles);
        int rows = (tiles + blocks - 1) / blocks * TKernel.Rows;
        int group = Math.Clamp(panels * blocks / WantedItems, 1, TKernel.Panels);
        return new GemmCut(vectors, panels, (panels + group - 1) / group, rows, (M + rows - 1) / rows);
    }

    /// <summary>Does one item.</summary>
    /// <param name="item">Which.</param>
    /// <param name="cut">Of this product.</param>
    /// <param name="packed">The thread's workspace.</param>
    public void Run<TKernel>(int item, in GemmCut cut, float* packed) where TKernel : struct, IGemmKernel
    {
        int group = item / cut.Blocks, row = item % cut.Blocks * cut.Rows, end = Math.Min(row + cut.Rows, M);
        int first = (int)((long)cut.Panels * group / cut.Groups), last = (int)((long)cut.Panels * (group + 1) / cut.Groups);
        int pieces = Math.Max((K + MostSteps - 1) / MostSteps, 1), piece = (K + pieces - 1) / pieces;
        int k = 0;
        do
        {
            int steps = Math.Min(piece, K - k);
            for (int number = first; number < last; number++)
            {
                GemmPanel panel = Panel<TKernel>(cut, number);
                if (IsPacked(panel)) Pack<TKernel>(k, steps, panel, Packed<TKernel>(packed, number - first));
            }
            for (int from = row, to; from < end; from = to)
            {
                to = Math.Min(from + TilesInTurn * TKernel.Rows, end);
                for (int number = first; number < last; number++)
                {
                    GemmPanel panel = Panel<TKernel>(cut, number);
                    float* b = Packed<TKernel>(packed, number - first);
                    if (panel.IsRagged) Ragged<TKernel>(from, to, panel, k, steps, b);
                    else if (IsPacked(panel)) Whole<TKernel>(from, to, panel, k, steps, b, panel.Width);
                    else Whole<TKernel>(from, to, panel, k, steps, (float*)B + k * BRow + panel.Column, BRow);
                }
            }
            k += piece;
        }
        while (k < K);
    }

    private GemmPanel Panel<TKernel>(in GemmCut cut, int number) where TKernel : struct, IGemmKernel
    {
        int from = (int)((long)cut.Vectors * number / cut.Panels), to = (int)((long)cut.Vectors * (number + 1) / cut.Panels);
        return new GemmPanel(from * TKernel.Lanes, Math.Min(to * TKernel.Lanes, N) - from * TKernel.Lanes, to - from, (to - from) * TKernel.Lanes);
    }

    private static float* Packed<TKernel>(float* packed, int number) where TKernel : struct, IGemmKernel =>
        packed + number * (MostSteps * TKernel.Vectors * TKernel.Lanes);

    private bool IsPacked(in GemmPanel panel) => BIsTransposed || panel.IsRagged || M > UnpackedRows;

    private void Pack<TKernel>(int k, int steps, in GemmPanel panel, float* to) where TKernel : struct, IGemmKernel
    {
        bool avx = typeof(TKernel) != typeof(GemmKernelAny);
        nint first = panel.Column * BRow + k;
        if (!BIsTransposed) GemmPack.Plain((float*)B + k * BRow + panel.Column, BRow, steps, panel.Columns, panel.Width, to);
        else if (BIsBFloat16) GemmPack.Transposed((BF16Element*)B + first, BRow, steps, panel.Columns, panel.Width, avx, to);
        else GemmPack.Transposed((F32Element*)B + first, BRow, steps, panel.Columns, panel.Width, avx, to);
    }

    private void Whole<TKernel>(int row, int end, in GemmPanel panel, int k, int steps, float* b, nint bStep) where TKernel : struct, IGemmKernel
    {
        bool prefetches = (Adds || k > 0) && (long)M * N > CachedFloats && Sse.IsSupported;
        for (; row < end; row += TKernel.Rows)
        {
            if (prefetches) Prefetch(row, Math.Min(row + TKernel.Rows, end), panel.Column, panel.Width);
            GemmTile tile = new()
            {
                K = steps,
                A = A + row * ARow + k * AStep,
                ARow = ARow,
                AStep = AStep,
                B = b,
                BStep = bStep,
                C = C + (nint)row * N + panel.Column,
                CRow = N,
                Bias = Bias == null ? null : Bias + panel.Column,
                Adds = Adds || k > 0,
            };
            TKernel.Tile(Math.Min(TKernel.Rows, end - row), panel.Vectors, tile);
        }
    }

    /// <summary>A tile adds to C at its very end; a large C is on its way from memory meanwhile.</summary>
    private void Prefetch(int row, int end, int column, int width)
    {
        for (; row < end; row++)
        {
            float* c = C + (nint)row * N + column;
            for (int j = 0; j < width; j += 16) Sse.Prefetch0(c + j);
        }
    }

    /// <summary>The last panel, where C ends within a vector: tiles are made beside C and copied.</summary>
    [SkipLocalsInit]
    private void Ragged<TKernel>(int row, int end, in GemmPanel panel, int k, int steps, float* b) where TKernel : struct, IGemmKernel
    {
        int width = panel.Width;
        float* scratch = stackalloc float[TKernel.Rows * width];
        bool adds = Adds || k > 0;
        for (; row < end; row += TKernel.Rows)
        {
            GemmTile tile = new()
            {
                K = steps,
                A = A + row * ARow + k * AStep,
                ARow = ARow,
                AStep = AStep,
                B = b,
                BStep = width,
                C = scratch,
                CRow = width,
            };
            int rows = Math.Min(TKernel.Rows, end - row);
            TKernel.Tile(rows, panel.Vectors, tile);
            for (int i = 0; i < rows; i++)
            {
                float* c = C + (nint)(row + i) * N + panel.Column;
                CopyRow(scratch + i * width, adds ? c : Bias == null ? null : Bias + panel.Column, c, panel.Columns);
            }
        }
    }

    private static void CopyRow(float* source, float* plus, float* c, int columns)
    {
        if (columns < 8)
        {
            for (int j = 0; j < columns; j++) c[j] = plus == null ? source[j] : source[j] + plus[j];
            return;
        }
        // The last vector overlaps the one before it: it is made first and stored last.
        int last = columns - 8;
        Vector256<float> tail = Vector256.Load(source + last);
        if (plus != null) tail += Vector256.Load(plus + last);
        for (int j = 0; j < last; j += 8)
        {
            Vector256<float> sum = Vector256.Load(source + j);
            if (plus != null) sum += Vector256.Load(plus + j);
            sum.Store(c + j);
        }
        tail.Store(c + last);
    }
}

/// <summary>How C is cut into items: groups of panels times blocks of rows, the blocks of one group together.</summary>
/// <param name="Vectors">Vectors in a row of C.</param>
/// <param name="Panels">Panels, of nearly equal numbers of vectors.</param>
/// <param name="Groups">Groups, of nearly equal numbers of panels.</param>
/// <param name="Rows">Rows in a block.</param>
/// <param name="Blocks">Blocks of rows.</param>
internal readonly record struct GemmCut(int Vectors, int Panels, int Groups, int Rows, int Blocks)
{
    public int Items => Groups * Blocks;
}

/// <summary>Columns of C that a tile spans.</summary>
/// <param name="Column">The first.</param>
/// <param name="Columns">How many; fewer than <paramref name="Width"/> where C ends within a vector.</param>
/// <param name="Vectors">Vectors across.</param>
/// <param name="Width">Columns of these.</param>
internal readonly record struct GemmPanel(int Column, int Columns, int Vectors, int Width)
{
    public bool IsRagged => Columns < Width;
}

/// <summary>One group's panels of B for every thread, in native memory, for as long as the ops live.</summary>
internal sealed unsafe class GemmWorkspace : SafeHandle
{
    private const int Alignment = 4096;

    // The widest group is four panels of 16 columns.
    private const nint FloatsOfThread = GemmProduct.MostSteps * 64;

    public GemmWorkspace(int threads) : base(0, ownsHandle: true) =>
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)(threads * FloatsOfThread * sizeof(float)), Alignment));

    public override bool IsInvalid => handle == 0;

    public float* Panels => (float*)handle;

    public static float* PanelOf(float* panels, int worker) => panels + worker * FloatsOfThread;

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        return true;
    }
}
