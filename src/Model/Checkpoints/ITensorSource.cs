namespace QSharp.Model;

/// <summary>What a model on disk says about one tensor.</summary>
/// <param name="DType">As the file stores it, such as BF16 or Q4_1.</param>
/// <param name="Bytes">In the file.</param>
public sealed record TensorEntry(string Name, string DType, long[] Shape, long Bytes)
{
    /// <summary>Number of elements.</summary>
    public long Count => Shape.Aggregate(1L, (product, size) => product * size);
}

/// <summary>Named float tensors of a model on disk, whatever the format.</summary>
public interface ITensorSource
{
    string Path { get; }

    IReadOnlyList<TensorEntry> Tensors { get; }

    /// <summary>Widens (or dequantises) elements of a tensor from <paramref name="first"/> on, in whole rows. Thread-safe.</summary>
    void CopyTo(string name, long first, Span<float> destination);
}
