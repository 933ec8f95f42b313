using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>A cached token is turned as one in training is, to the bit: what was learned holds where it is used.</summary>
[Collection(CudaCollection.Name)]
public sealed class RopeBitsTests(CudaFixture cuda)
{
    private const int Rows = 3, Tokens = 2, Heads = 4, KvHeads = 2, Capacity = 9;

    [Theory]
    [InlineData(false, DType.F32, 32), InlineData(false, DType.F32, 22)]
    [InlineData(true, DType.F32, 32), InlineData(true, DType.F32, 22), InlineData(true, DType.BF16, 32), InlineData(true, DType.BF16, 22)]
    public void KvWrite_turns_queries_and_keys_to_the_bits_of_Rope(bool onCuda, DType type, int headDim)
    {
        using Device device = onCuda ? cuda.Open() : new CpuDevice(1);
        Ops ops = Ops.For(device);
        int width = (Heads + 2 * KvHeads) * headDim, queries = Heads * headDim, column = KvHeads * headDim;
        ((Tensor start, Tensor qkv, Tensor keys, Tensor values, Tensor frequencies, Tensor positions, Tensor lengths), DeviceBuffer memory) =
            Arena.Build(device, arena => (
                arena.Take((Rows * Tokens, width)), arena.Take((Rows * Tokens, width), type), arena.Take((Rows, Capacity, column), type),
                arena.Take((Rows, Capacity, column), type), arena.Take(headDim / 2), arena.Take(Rows * Tokens, DType.I32), arena.Take(Rows, DType.I32)));
        using (memory)
        {
            device.Upload<float>(RopeFrequencies.Compute(headDim, 10000, null), frequencies);
            device.Upload<int>([0, 1, 17, 4000, 131071, 5], positions);
            int[] columns = [0, 3, 7];
            device.Upload<int>(columns, lengths);
            PhiloxStream random = new(7);
            float[] drawn = new float[start.Count];
            foreach (ref float value in drawn.AsSpan()) value = random.NextNormal();
            device.Upload<float>(drawn, start);

            Restart();
            ops.Rope(qkv, Heads + KvHeads, headDim, positions, frequencies, inverse: false);
            float[] turned = Read(qkv);
            Restart();
            ops.KvWrite(qkv, Heads, KvHeads, positions, frequencies, lengths, Tensor.None, keys, values);
            float[] written = Read(qkv), cached = Read(keys);
            for (int token = 0; token < Rows * Tokens; token++)
            {
                int row = token * width, to = (token / Tokens * Capacity + columns[token / Tokens] + token % Tokens) * column;
                Assert.Equal(turned[row..(row + queries)], written[row..(row + queries)]);
                Assert.Equal(turned[(row + queries)..(row + queries + column)], cached[to..(to + column)]);
            }
        }

        void Restart()
        {
            if (type == DType.F32) ops.Copy(start, qkv);
            else ops.Cast(start, qkv);
        }

        float[] Read(Tensor tensor)
        {
            float[] read = new float[tensor.Count];
            if (type == DType.F32)
            {
                device.Download<float>(tensor, read);
                return read;
            }
            ushort[] halves = new ushort[tensor.Count];
            device.Download<ushort>(tensor, halves);
            for (int i = 0; i < halves.Length; i++) read[i] = BitConverter.Int32BitsToSingle(halves[i] << 16);
            return read;
        }
    }
}
