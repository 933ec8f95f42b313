using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Rotary position embedding, in place (Su et al. 2021), with the half-split pairs of Hugging Face's Llama: within each
    /// of the first heads, elements i and i + D/2 are turned as a point of the plane by the angle position · frequencies[i].
    /// The inverse turns back, which is the gradient as well.
    /// </summary>
    /// <param name="qkv">[N, W], updated; the first heads · D columns are turned and the others left alone.</param>
    /// <param name="heads">Heads to turn: those of the queries and of the keys, not of the values.</param>
    /// <param name="headDim">D, even.</param>
    /// <param name="positions">[N] I32.</param>
    /// <param name="frequencies">[D/2], from <see cref="RopeFrequencies.Compute"/>.</param>
    /// <param name="inverse">Turns by the negative angles.</param>
    public void Rope(Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse)
    {
        int rows = checked((int)positions.Count), columns = qkv.Shape.Last;
        Require(qkv, rows, columns, TypeOf(qkv));
        Require(
            heads >= 0 && headDim > 0 && headDim % 2 == 0 && (long)heads * headDim <= columns,
            $"{heads} heads of {headDim} (must be even) do not fit into rows of {columns}.");
        Require(positions, rows, DType.I32);
        Require(frequencies, headDim / 2);
        using OpSpan traced = Traced(qkv, positions, frequencies);
        RopeCore(qkv, heads, headDim, positions, frequencies, inverse);
    }

    private protected abstract void RopeCore(Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse);
}

public sealed unsafe partial class CpuOps
{
    private protected override void RopeCore(Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse) =>
        _workers.For((int)positions.Count, Grain(headDim * (8L + heads)), new RopeWork(
            qkv.Floats(), qkv.Shape.Last, heads, headDim, positions.Ints(), frequencies.Floats(), inverse ? -1 : 1));

    private readonly struct RopeWork(
        float* qkv, int columns, int heads, int headDim, int* positions, float* frequencies, double direction) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
                Rotation.Turn(qkv + (long)n * columns, heads, 0, null, headDim, direction * positions[n], frequencies);
        }
    }
}
