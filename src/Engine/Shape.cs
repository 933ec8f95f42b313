using System.Globalization;

namespace QSharp.Engine;

/// <summary>Sizes of a contiguous tensor, slowest first, rank 1 to 4. Dimensions past the rank are 1.</summary>
public readonly record struct Shape(int Rank, int D0, int D1 = 1, int D2 = 1, int D3 = 1)
{
    public static implicit operator Shape(int d0) => new(1, d0);

    public static implicit operator Shape((int D0, int D1) d) => new(2, d.D0, d.D1);

    public static implicit operator Shape((int D0, int D1, int D2) d) => new(3, d.D0, d.D1, d.D2);

    public static implicit operator Shape((int D0, int D1, int D2, int D3) d) => new(4, d.D0, d.D1, d.D2, d.D3);

    public long Count => (long)D0 * D1 * D2 * D3;

    /// <summary>Size of dimension <paramref name="index"/>.</summary>
    public int this[int index] => index switch
    {
        0 => D0,
        1 => D1,
        2 => D2,
        3 => D3,
        _ => throw new ArgumentOutOfRangeException(nameof(index)),
    };

    /// <summary>The fastest dimension: the length of one row.</summary>
    public int Last => this[Rank - 1];

    /// <summary>How many rows of length <see cref="Last"/> there are.</summary>
    public int Rows => Last == 0 ? 0 : checked((int)(Count / Last));

    /// <summary>This shape without its slowest dimension; a rank-1 shape becomes a single element.</summary>
    public Shape Inner => Rank == 1 ? new Shape(1, 1) : new Shape(Rank - 1, D1, D2, D3);

    public override string ToString()
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        return Rank switch
        {
            1 => string.Create(culture, $"[{D0}]"),
            2 => string.Create(culture, $"[{D0}, {D1}]"),
            3 => string.Create(culture, $"[{D0}, {D1}, {D2}]"),
            _ => string.Create(culture, $"[{D0}, {D1}, {D2}, {D3}]"),
        };
    }
}
