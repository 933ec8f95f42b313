namespace QSharp.Kernels;

/// <summary>How a return that lies between two atoms becomes a target.</summary>
public enum Projection
{
    /// <summary>Split over both neighbours so that the mean is kept (the default).</summary>
    TwoHot,

    /// <summary>The nearest atom, halves to the even one, as in the official code.</summary>
    Nearest,
}

/// <summary>A return among the atoms of a categorical family (method notes §2.2).</summary>
internal static class ReturnProjection
{
    /// <summary>The target of a return: 1 − Share on an atom and Share on the next; a Share is below 1, NaN where the return is.</summary>
    public static (int Atom, float Share) Of(float value, ReturnFamily family, Projection projection)
    {
        float r = Math.Clamp((value - family.Min) / (family.Max - family.Min), 0f, 1f);
        if (float.IsNaN(r)) return (0, float.NaN);
        float position = r * (family.Atoms - 1);
        if (projection == Projection.Nearest) return ((int)MathF.Round(position, MidpointRounding.ToEven), 0);
        int lower = (int)position;
        return (lower, position - lower);
    }
}
