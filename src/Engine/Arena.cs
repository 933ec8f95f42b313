namespace QSharp.Engine;

/// <summary>
/// Plans and carves one block of memory. The code that takes tensors runs twice: the first pass only adds up sizes,
/// the second hands out views of one allocation. So the constructor of Weights or Activations is its own layout.
/// </summary>
public sealed class Arena
{
    private const long Alignment = 64;   // elements, so that one layout in BF16 and in F32 has each tensor at the same element
    private readonly DeviceBuffer? _memory;
    private readonly long _limit;
    private long _used;

    private Arena(DeviceBuffer? memory, long limit)
    {
        _memory = memory;
        _limit = limit;
    }

    /// <summary>Bytes taken so far.</summary>
    public long Used => _used;

    /// <summary>A zeroed tensor, 128-byte aligned.</summary>
    public Tensor Take(Shape shape, DType type = DType.F32)
    {
        long offset = _used;
        _used = checked(_used + (shape.Count + Alignment - 1) / Alignment * Alignment * type.Size());
        if (_memory is not null && _used > _limit)
            throw new InvalidOperationException(
                "The layout took more in its second pass than in its first; it must depend on its arguments alone.");
        return new Tensor(_memory, offset, type, shape);
    }

    /// <summary>Bytes that a layout needs, without allocating them.</summary>
    public static long Measure<T>(Func<Arena, T> layout)
    {
        Arena arena = new(null, 0);
        layout(arena);
        return arena._used;
    }

    /// <summary>Carves a layout out of memory that another one had; what is in it is left as it is.</summary>
    /// <param name="memory">Not disposed with the layout.</param>
    public static T Carve<T>(DeviceBuffer memory, Func<Arena, T> layout) => layout(new Arena(memory, memory.Bytes));

    /// <summary>Measures a layout, allocates once, and carves it. The caller disposes of the memory.</summary>
    public static (T Value, DeviceBuffer Memory) Build<T>(Device device, Func<Arena, T> layout)
    {
        long bytes = Measure(layout);
        DeviceBuffer memory = device.Allocate(bytes);
        try
        {
            return (layout(new Arena(memory, bytes)), memory);
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }
}
