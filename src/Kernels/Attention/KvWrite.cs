using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Writes keys and values of S new tokens a row into the cache: token s of row r to column lengths[r] + s. With rotary
    /// positions it first turns queries, in place, and keys, on their way, to the bits of <see cref="Rope"/>.
    /// </summary>
    /// <param name="qkv">[R·S, (H + 2G)·D]: heads of queries, then of keys, then of values; only queries change.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G.</param>
    /// <param name="positions">[R·S] I32, or None for a model without rotary positions.</param>
    /// <param name="frequencies">[D/2], from <see cref="RopeFrequencies.Compute"/>; None where positions are.</param>
    /// <param name="lengths">[R] I32: columns in use; left as they are (see <see cref="Advance"/>).</param>
    /// <param name="counts">[R] I32 or None: how many of a row's tokens are real, the first ones; None means all.</param>
    /// <param name="keys">[R, P, G·D].</param>
    /// <param name="values">[R, P, G·D].</param>
    public void KvWrite(
        Tensor qkv, int heads, int kvHeads, Tensor positions, Tensor frequencies, Tensor lengths, Tensor counts, Tensor keys, Tensor values)
    {
        CacheSizes sizes = RequireCache(qkv, heads, kvHeads, lengths, counts, keys, values);
        Require(positions.IsNone == frequencies.IsNone, $"positions are {positions}, but frequencies are {frequencies}.");
        if (!positions.IsNone)
        {
            Require(sizes.HeadDim % 2 == 0, $"heads have {sizes.HeadDim} components, but turning needs an even number.");
            Require(positions, sizes.Rows * sizes.Tokens, DType.I32);
            Require(frequencies, sizes.HeadDim / 2);
        }
        using OpSpan traced = Traced(qkv, lengths, counts, keys);
        if (sizes.Rows > 0 && sizes.Tokens > 0) KvWriteCore(qkv, positions, frequencies, lengths, counts, sizes, keys, values);
    }

    private protected abstract void KvWriteCore(
        Tensor qkv, Tensor positions, Tensor frequencies, Tensor lengths, Tensor counts, CacheSizes sizes, Tensor keys, Tensor values);

    /// <summary>Checks new tokens against a cache and returns the sizes of both.</summary>
    private protected CacheSizes RequireCache(
        Tensor qkv, int heads, int kvHeads, Tensor lengths, Tensor counts, Tensor keys, Tensor values,
        [CallerMemberName] string op = "")
    {
        int headDim = RequireHeads(qkv, heads, kvHeads, op), tokens = qkv.Shape.Rows, rows = (int)lengths.Count;
        Require(lengths, rows, DType.I32, nameof(lengths), op);
        if (!counts.IsNone) Require(counts, rows, DType.I32, nameof(counts), op);
        Require(rows == 0 ? tokens == 0 : tokens % rows == 0, $"{tokens} tokens are not equally many for {rows} rows.", op);
        Require(keys.Shape.Rank == 3 && keys.Shape.D0 == rows, $"keys are {keys}, but must be [R = {rows}, P, G·D].", op);
        int capacity = keys.Shape.D1;
        Require(keys, rows * capacity, kvHeads * headDim, qkv.DType, nameof(keys), op);
        Require(values, rows * capacity, kvHeads * headDim, qkv.DType, nameof(values), op);
        return new CacheSizes(rows, rows == 0 ? 0 : tokens / rows, capacity, heads, kvHeads, headDim);
    }
}

/// <summary>R rows with S new tokens each and P columns of cache; H query heads, G key and value heads, all of size D.</summary>
internal readonly record struct CacheSizes(int Rows, int Tokens, int Capacity, int Heads, int KvHeads, int HeadDim)
{
    public int Width => (Heads + 2 * KvHeads) * HeadDim;

    /// <summary>Floats of one column of one row: all KV heads.</summary>
    public int Column => KvHeads * HeadDim;

    /// <summary>Query heads of one KV head.</summary>
    public int Group => Heads / KvHeads;
}

public sealed unsafe partial class CpuOps
{
    private protected override void KvWriteCore(
        Tensor qkv, Tensor positions, Tensor frequencies, Tensor lengths, Tensor counts, CacheSizes sizes, Tensor keys, Tensor values)
    {
        CheckColumns("KvWrite", lengths, counts, sizes);
        KvWriteWork work = new(
            qkv.Floats(), positions.Ints(), frequencies.Floats(), lengths.Ints(), counts.Ints(), sizes, keys.Floats(), values.Floats());
        long turning = positions.IsNone ? 0 : sizes.HeadDim * (8L + sizes.Heads + sizes.KvHeads);
        _workers.For(sizes.Rows * sizes.Tokens, Grain(2 * sizes.Column + turning), work);
    }

    /// <summary>Lengths lie on the device, so only its twin can check that the new columns are inside of the cache.</summary>
    private static void CheckColumns(string op, Tensor lengths, Tensor counts, CacheSizes sizes)
    {
        int* length = lengths.Ints(), count = counts.Ints();
        for (int r = 0; r < sizes.Rows; r++)
        {
            int real = count == null ? sizes.Tokens : count[r];
            if (real < 0 || real > sizes.Tokens)
                throw new ArgumentException($"{op}: row {r} has a count of {real} among {sizes.Tokens} new tokens.");
            if (length[r] < 0 || length[r] > sizes.Capacity - real)
                throw new ArgumentException($"{op}: row {r} adds {real} tokens to {length[r]} columns of a cache that holds {sizes.Capacity}.");
        }
    }

    /// <summary>One item is a token.</summary>
    private readonly struct KvWriteWork(
        float* qkv, int* positions, float* frequencies, int* lengths, int* counts, CacheSizes sizes, float* keys, float* values) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int column = sizes.Column;
            for (int item = begin; item < end; item++)
            {
                int r = item / sizes.Tokens, s = item % sizes.Tokens;
                if (counts != null && s >= counts[r]) continue;
                float* query = qkv + (nint)item * sizes.Width, key = query + sizes.Heads * sizes.HeadDim;
                nint to = ((nint)r * sizes.Capacity + lengths[r] + s) * column;
                if (positions == null) new ReadOnlySpan<float>(key, column).CopyTo(new Span<float>(keys + to, column));
                else Rotation.Turn(query, sizes.Heads, sizes.KvHeads, keys + to, sizes.HeadDim, positions[item], frequencies);
                new ReadOnlySpan<float>(key + column, column).CopyTo(new Span<float>(values + to, column));
            }
        }
    }
}
