using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Keeps one of the siblings that <see cref="KvWrite"/> wrote, the one that was drawn: copies column
    /// lengths[r] + chosen[r] to column lengths[r]. What lies after it is free again.
    /// </summary>
    /// <param name="keys">[R, P, G·D], in place.</param>
    /// <param name="values">[R, P, G·D], in place.</param>
    /// <param name="lengths">[R] I32: columns in use, the siblings not counted.</param>
    /// <param name="chosen">[R] I32; a row with chosen &lt; 0 is left alone.</param>
    public void KvKeep(Tensor keys, Tensor values, Tensor lengths, Tensor chosen)
    {
        int rows = (int)lengths.Count;
        Require(lengths, rows, DType.I32);
        Require(chosen, rows, DType.I32);
        Require(keys.Shape.Rank == 3 && keys.Shape.D0 == rows, $"keys are {keys}, but must be [R = {rows}, P, G·D].");
        DType type = TypeOf(keys);
        Require(keys, rows * keys.Shape.D1, keys.Shape.D2, type);
        Require(values, rows * keys.Shape.D1, keys.Shape.D2, type);
        using OpSpan traced = Traced(keys, values, lengths, chosen);
        if (rows > 0) KvKeepCore(keys, values, lengths, chosen);
    }

    private protected abstract void KvKeepCore(Tensor keys, Tensor values, Tensor lengths, Tensor chosen);
}

public sealed unsafe partial class CpuOps
{
    private protected override void KvKeepCore(Tensor keys, Tensor values, Tensor lengths, Tensor chosen)
    {
        int rows = keys.Shape.D0, capacity = keys.Shape.D1, column = keys.Shape.D2;
        int* length = lengths.Ints(), choice = chosen.Ints();
        for (int r = 0; r < rows; r++)
        {
            if (choice[r] >= 0 && (length[r] < 0 || choice[r] >= capacity - length[r]))
                throw new ArgumentException($"KvKeep: row {r} chose sibling {choice[r]} after {length[r]} columns of {capacity}.");
        }
        KvKeepWork work = new(keys.Floats(), values.Floats(), length, choice, capacity, column);
        _workers.For(rows, Grain(2 * column), work);
    }

    /// <summary>One item is a row.</summary>
    private readonly struct KvKeepWork(float* keys, float* values, int* lengths, int* chosen, int capacity, int column) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int r = begin; r < end; r++)
            {
                if (chosen[r] <= 0) continue;
                nint to = ((nint)r * capacity + lengths[r]) * column, from = to + (nint)chosen[r] * column;
                new ReadOnlySpan<float>(keys + from, column).CopyTo(new Span<float>(keys + to, column));
                new ReadOnlySpan<float>(values + from, column).CopyTo(new Span<float>(values + to, column));
            }
        }
    }
}
