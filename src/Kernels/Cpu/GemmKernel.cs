namespace QSharp.Kernels;

/// <summary>
/// One tile of a product: C (+)= A·B over K steps. A is read where it lies, by broadcast, so that it needs no packing
/// whichever way it is stored; B comes in rows of a panel, one row a step.
/// </summary>
internal readonly unsafe struct GemmTile
{
    /// <summary>Steps of K.</summary>
    public int K { get; init; }

    public float* A { get; init; }

    /// <summary>Floats between two rows of A.</summary>
    public nint ARow { get; init; }

    /// <summary>Floats between two steps of K in A.</summary>
    public nint AStep { get; init; }

    public float* B { get; init; }

    /// <summary>Floats between two steps of K in B.</summary>
    public nint BStep { get; init; }

    public float* C { get; init; }

    /// <summary>Floats between two rows of C.</summary>
    public nint CRow { get; init; }

    /// <summary>Added to every row unless <see cref="Adds"/>; may be null.</summary>
    public float* Bias { get; init; }

    /// <summary>Whether the product is added to C, or else written.</summary>
    public bool Adds { get; init; }
}

/// <summary>
/// A register-blocked kernel for tiles of up to <see cref="Rows"/> rows and <see cref="Vectors"/> vectors. An element of
/// C is one chain of multiply-adds in the order of K whatever the tile, so results do not depend on how C is cut.
/// </summary>
internal interface IGemmKernel
{
    static abstract int Rows { get; }

    /// <summary>Columns of one vector.</summary>
    static abstract int Lanes { get; }

    static abstract int Vectors { get; }

    /// <summary>Most panels that A is read once for: where tiles are narrow, one panel makes little of it.</summary>
    static abstract int Panels { get; }

    static abstract void Tile(int rows, int vectors, in GemmTile tile);
}

/// <summary>A number known to the compiler, so that one source makes a kernel for every size of tile.</summary>
internal interface IConst
{
    static abstract int Value { get; }
}

internal readonly struct Const1 : IConst
{
    public static int Value => 1;
}

internal readonly struct Const2 : IConst
{
    public static int Value => 2;
}

internal readonly struct Const3 : IConst
{
    public static int Value => 3;
}

internal readonly struct Const4 : IConst
{
    public static int Value => 4;
}

internal readonly struct Const5 : IConst
{
    public static int Value => 5;
}

internal readonly struct Const6 : IConst
{
    public static int Value => 6;
}

internal readonly struct Const7 : IConst
{
    public static int Value => 7;
}

internal readonly struct Const8 : IConst
{
    public static int Value => 8;
}
