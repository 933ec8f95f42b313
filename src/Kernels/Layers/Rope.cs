using System.Runtime.Intrinsics;

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
            int half = headDim / 2;
            for (int n = begin; n < end; n++)
            {
                float* row = qkv + (long)n * columns;
                // In float64, where position · frequency is exact: at position 131,072 a float's angle would be off by 0.01.
                double position = direction * positions[n];
                int i = 0;
                for (; i + 8 <= half; i += 8)
                {
                    (Vector256<double> low, Vector256<double> high) = Vector256.Widen(Vector256.Load(frequencies + i));
                    (Vector256<double> sinLow, Vector256<double> cosLow) = Vector256.SinCos(low * position);
                    (Vector256<double> sinHigh, Vector256<double> cosHigh) = Vector256.SinCos(high * position);
                    Turn(row + i, Vector256.Narrow(sinLow, sinHigh), Vector256.Narrow(cosLow, cosHigh));
                }
                for (; i < half; i++)
                {
                    (double sin, double cos) = Math.SinCos(frequencies[i] * position);
                    Turn(row + i, (float)sin, (float)cos);
                }
            }
        }

        private void Turn(float* first, Vector256<float> sin, Vector256<float> cos)
        {
            for (int head = 0; head < heads; head++, first += headDim)
            {
                float* second = first + headDim / 2;
                Vector256<float> a = Vector256.Load(first), b = Vector256.Load(second);
                Vector256.MultiplyAddEstimate(a, cos, -(b * sin)).Store(first);
                Vector256.MultiplyAddEstimate(b, cos, a * sin).Store(second);
            }
        }

        private void Turn(float* first, float sin, float cos)
        {
            for (int head = 0; head < heads; head++, first += headDim)
            {
                float* second = first + headDim / 2;
                (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
            }
        }
    }
}
