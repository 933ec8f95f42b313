using QSharp.Engine;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>Each named operation of qs.cuh alone, against a few lines of C#.</summary>
[Collection(CudaCollection.Name)]
public sealed class OperationTests(CudaFixture cuda)
{
    [Fact]
    public void Bf16_rounds_to_nearest_with_ties_to_even_for_every_value_and_every_tie()
    {
        List<float> inputs = [];
        for (uint high = 0; high < 0x10000; high++)
            foreach (uint low in (uint[])[0, 1, 0x7fff, 0x8000, 0x8001, 0xffff])
                inputs.Add(BitConverter.UInt32BitsToSingle((high << 16) | low));
        float[] values = [.. inputs];
        int[] rounded = Words("round_bf16", (values.Length + 255) / 256, 256, values, values.Length, values.Length);
        for (int i = 0; i < values.Length; i++) Assert.Equal(float.IsNaN(values[i]) ? 0x7fff : Rounded(values[i]), rounded[i]);
    }

    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void Ldmatrix_hands_each_lane_its_elements(int how)
    {
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor result = StandInKernels.Upload(device, DType.I32, new int[128]);
        device.Kernels.Get("operations", "load_matrix", "").Launch(1, 32, 0, result, how);
        int[] words = StandInKernels.Download<int>(device, result);
        for (int lane = 0; lane < 32; lane++)
            for (int tile = 0; tile < 4; tile++)
            {
                int row = lane / 4, column = lane % 4 * 2;
                int Element(int y, int x) => tile * 64 + y * 8 + x;
                (int low, int high) = how % 2 == 0
                    ? (Element(row, column), Element(row, column + 1))
                    : (Element(column, row), Element(column + 1, row));
                Assert.Equal(how >= 2 && tile >= 2 ? 0 : low | (high << 16), words[lane * 4 + tile]);
            }
    }

    [Fact]
    public void Mma_is_the_product_of_its_matrices()
    {
        PhiloxStream random = new(7);
        ushort[] a = new ushort[256], b = new ushort[128];
        for (int i = 0; i < a.Length; i++) a[i] = (ushort)Rounded(random.NextUniform() - 0.5f);
        for (int i = 0; i < b.Length; i++) b[i] = (ushort)Rounded(random.NextUniform() - 0.5f);
        float[] c = [.. Enumerable.Range(0, 128).Select(i => i / 64f)];
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor result = StandInKernels.Upload(device, DType.F32, c);
        device.Kernels.Get("operations", "mma", "").Launch(
            1, 32, 0, StandInKernels.Upload(device, DType.BF16, a), StandInKernels.Upload(device, DType.BF16, b), result);
        float[] product = StandInKernels.Download<float>(device, result);
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++)
            {
                double sum = c[i * 8 + j];
                for (int k = 0; k < 16; k++) sum += (double)Wide(a[i * 16 + k]) * Wide(b[k * 8 + j]);
                Assert.Equal(sum, product[i * 8 + j], 1e-5);
            }
    }

    [Theory, InlineData(32), InlineData(13), InlineData(0)]
    public void Asynchronous_copies_arrive_and_fill_with_zeros(int valid)
    {
        float[] values = [.. Enumerable.Range(1, 256).Select(i => (float)i)];
        float[] copies = Floats("copy_async", 1, 32, values, 256, valid);
        for (int i = 0; i < 256; i++) Assert.Equal(i % 128 / 4 < valid ? values[i] : 0, copies[i]);
    }

    [Fact]
    public void Philox_has_the_bits_of_the_engine()
    {
        const ulong Key = 0x1234_5678_9abc_def0;
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor words = StandInKernels.Upload(device, DType.I32, new int[4000]);
        Tensor uniforms = StandInKernels.Upload(device, DType.F32, new float[1000]);
        device.Kernels.Get("operations", "draw", "").Launch(8, 128, 0, words, uniforms, Key, 1000);
        uint[] drawn = StandInKernels.Download<uint>(device, words);
        float[] numbers = StandInKernels.Download<float>(device, uniforms);
        for (uint i = 0; i < 1000; i++)
        {
            (uint x0, uint x1, uint x2, uint x3) = Philox.Block(Key, i, 1, 2, i * i);
            Assert.Equal([x0, x1, x2, x3], drawn[(int)(4 * i)..(int)(4 * i + 4)]);
            Assert.Equal(Philox.Uniform(x0), numbers[i]);
        }
    }

    [Theory, InlineData(1), InlineData(31), InlineData(32), InlineData(33), InlineData(100), InlineData(256), InlineData(1023)]
    [InlineData(1024)]
    public void A_block_of_any_size_reduces_to_all_of_its_threads(int threads)
    {
        PhiloxStream random = new((ulong)threads);
        float[] values = [.. Enumerable.Range(0, threads).Select(_ => random.NextUniform() - 0.7f)];
        values[threads / 2] = values[threads - 1] = values.Max();   // of two largest, the first counts
        int[] results = Words("reduce_block", 1, threads, values, 4 * threads);
        for (int i = 0; i < threads; i++)
        {
            Assert.Equal(values.Sum(v => (double)v), BitConverter.Int32BitsToSingle(results[4 * i]), 1e-4);
            Assert.Equal(results[0], results[4 * i]);
            Assert.Equal(values.Max(), BitConverter.Int32BitsToSingle(results[4 * i + 1]));
            Assert.Equal(threads * (threads - 1) / 2, results[4 * i + 2]);
            Assert.Equal(Array.IndexOf(values, values.Max()), results[4 * i + 3]);
        }
    }

    [Fact]
    public void A_warp_reduces_whole_and_by_groups()
    {
        float[] values = [.. Enumerable.Range(0, 32).Select(i => (float)(i * 7 % 32))];
        float[] results = Floats("reduce_warp", 1, 32, values, 128);
        for (int i = 0; i < 32; i++)
        {
            float[] group = values[(i / 8 * 8)..(i / 8 * 8 + 8)];
            Assert.Equal([values.Sum(), values.Max(), group.Sum(), group.Max()], results[(4 * i)..(4 * i + 4)]);
        }
    }

    [Fact]
    public void Vectors_of_four_and_eight_load_and_store_both_types()
    {
        float[] x = [.. Enumerable.Range(0, 12 * 32).Select(i => i + 0.25f)];
        ushort[] u = [.. Enumerable.Range(0, 16 * 32).Select(i => (ushort)Rounded(i))];
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor y = StandInKernels.Upload(device, DType.F32, new float[x.Length]);
        Tensor v = StandInKernels.Upload(device, DType.BF16, new ushort[u.Length]);
        device.Kernels.Get("operations", "vectors", "").Launch(
            1, 32, 0, StandInKernels.Upload(device, DType.F32, x), y, StandInKernels.Upload(device, DType.BF16, u), v);
        Assert.Equal(x, StandInKernels.Download<float>(device, y));
        Assert.Equal(u, StandInKernels.Download<ushort>(device, v));
    }

    [Fact]
    public void Scalar_functions_are_those_of_CUDA()
    {
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor result = StandInKernels.Upload(device, DType.I32, new int[16]);
        device.Kernels.Get("operations", "scalars", "").Launch(1, 1, 0, result);
        Assert.Equal(
            [2, -4, -2, int.MaxValue, 8, 63, 32, int.MinValue, 4, 3, -1, 3, Bits(7), Bits(0.5f), 1, 7],
            StandInKernels.Download<int>(device, result));

        static int Bits(float value) => BitConverter.SingleToInt32Bits(value);
    }

    private static int Rounded(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value), low = bits & 0xffff, high = bits >> 16;
        return (int)(low > 0x8000 || (low == 0x8000 && high % 2 == 1) ? high + 1 : high);
    }

    private static float Wide(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private float[] Floats(string kernel, int blocks, int threads, float[] input, int results, params KernelArg[] more) =>
        [.. Words(kernel, blocks, threads, input, results, more).Select(BitConverter.Int32BitsToSingle)];

    private int[] Words(string kernel, int blocks, int threads, float[] input, int results, params KernelArg[] more)
    {
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Tensor result = StandInKernels.Upload(device, DType.I32, new int[results]);
        device.Kernels.Get("operations", kernel, "").Launch(
            blocks, threads, 0, [StandInKernels.Upload(device, DType.F32, input), result, .. more]);
        return StandInKernels.Download<int>(device, result);
    }
}
