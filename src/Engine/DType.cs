namespace QSharp.Engine;

/// <summary>Element types. Compute is fp32 on the CPU; BF16 is a storage type; I32 holds token ids and counters.</summary>
public enum DType : byte
{
    F32,
    BF16,
    I32,
}

public static class DTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this DType type) => type switch
    {
        DType.F32 or DType.I32 => 4,
        DType.BF16 => 2,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };
}
