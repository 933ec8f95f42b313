using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Every kernel of the matrix product that the machine can run, not only the one that it would choose.</summary>
public class GemmTests
{
    // Around the kernels' rows (4, 6, 8), widths (16, 32, 48), dotted and unpacked rows (4, 20, 32), steps of K (256) and groups of panels (512).
    private static readonly int[] _sizes =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 20, 21, 31, 32, 33, 47, 48, 49, 63, 65, 96, 129, 255, 256, 257, 300, 530];

    public static TheoryData<int> Paths()
    {
        TheoryData<int> data = [];
        using CpuDevice device = new(1);
        GemmPath widest = ((CpuOps)Ops.For(device)).GemmPath;
        for (GemmPath path = GemmPath.Any; path <= widest; path++) data.Add((int)path);
        return data;
    }

    [Theory, MemberData(nameof(Paths))]
    public void Products_agree_with_float64_on_random_sizes(int path)
    {
        PhiloxStream random = new(11);
        for (int trial = 0; trial < 150; trial++)
        {
            int n = _sizes[random.NextInt(_sizes.Length)], i = _sizes[random.NextInt(_sizes.Length)];
            int o = _sizes[random.NextInt(_sizes.Length)];
            if ((long)n * i * o > 2_000_000) continue;
            using CpuDevice device = new(1 + trial % 2);
            CpuOps ops = (CpuOps)Ops.For(device);
            ops.GemmPath = (GemmPath)path;
            CheckProducts(device, ops, n, i, o, trial % 3 != 0, ref random);
        }
    }

    [Theory, MemberData(nameof(Paths))]
    public void A_row_does_not_depend_on_how_many_rows_there_are(int path)
    {
        const int I = 300, O = 65;
        using CpuDevice device = new(2);
        CpuOps ops = (CpuOps)Ops.For(device);
        ops.GemmPath = (GemmPath)path;
        PhiloxStream random = new(3);
        ((Tensor x, Tensor w, Tensor y, Tensor part), DeviceBuffer memory) = Arena.Build(
            device, arena => (arena.Take((200, I)), arena.Take((O, I)), arena.Take((200, O)), arena.Take((200, O))));
        Fill(x, ref random);
        Fill(w, ref random);
        ops.MatMul(x, w, Tensor.None, y);
        foreach (int rows in new[] { DotProduct.MostRows(I) + 1, 33, 64, 199 })
        {
            ops.MatMul(x.Range(0, rows), w, Tensor.None, part.Range(0, rows));
            Assert.True(part.Range(0, rows).Span<float>().SequenceEqual(y.Range(0, rows).Span<float>()), $"{rows} rows");
        }
        // Dotted rows have another order of summation, the same for each of them.
        foreach (int rows in new[] { 1, 2, 3, 4, 5, 9, DotProduct.MostRows(I) })
        {
            ops.MatMul(x.Range(0, 1), w, Tensor.None, part.Range(100, 1));
            ops.MatMul(x.Range(0, rows), w, Tensor.None, part.Range(0, rows));
            Assert.True(part.Range(0, 1).Span<float>().SequenceEqual(part.Range(100, 1).Span<float>()), $"{rows} rows");
        }
        memory.Dispose();
    }

    [Theory, MemberData(nameof(Paths))]
    public void Weights_in_BF16_give_the_bits_of_the_same_weights_in_F32(int path)
    {
        PhiloxStream random = new(5);
        (int, int, int)[] sizes =
            [(1, 576, 515), (1, 37, 7), (2, 64, 33), (3, 100, 130), (8, 257, 65), (19, 300, 49), (21, 300, 49), (40, 65, 97)];
        foreach ((int n, int i, int o) in sizes)
            foreach (int threads in new[] { 1, 2 })
            {
                using CpuDevice device = new(threads);
                CpuOps ops = (CpuOps)Ops.For(device);
                ops.GemmPath = (GemmPath)path;
                ((Tensor x, Tensor half, Tensor whole, Tensor y, Tensor expected), DeviceBuffer memory) = Arena.Build(
                    device, arena => (
                        arena.Take((n, i)), arena.Take((o, i), DType.BF16), arena.Take((o, i)), arena.Take((n, o)), arena.Take((n, o))));
                Fill(x, ref random);
                Fill(whole, ref random);
                BFloat16.Round(whole.Span<float>(), half.Span<ushort>());
                BFloat16.Widen(half.Span<ushort>(), whole.Span<float>());
                ops.MatMul(x, half, Tensor.None, y);
                ops.MatMul(x, whole, Tensor.None, expected);
                Assert.True(y.Span<float>().SequenceEqual(expected.Span<float>()), $"{n}, {i}, {o} with {threads} threads");
                memory.Dispose();
            }
    }

    [Fact]
    public void Gradients_with_weights_in_BF16_are_refused()
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        ((Tensor x, Tensor w, Tensor dy, Tensor dx), DeviceBuffer memory) = Arena.Build(
            device, arena => (arena.Take((2, 4)), arena.Take((3, 4), DType.BF16), arena.Take((2, 3)), arena.Take((2, 4))));
        ArgumentException error = Assert.Throws<ArgumentException>(() => ops.MatMulBackward(dy, x, w, dx, Tensor.None, Tensor.None));
        Assert.Contains("w is BF16[3, 4]", error.Message, StringComparison.Ordinal);
        Assert.Contains("must be F32", error.Message, StringComparison.Ordinal);
        memory.Dispose();
    }

    [Fact]
    public void A_product_allocates_nothing()
    {
        using CpuDevice device = new(2);
        Ops ops = Ops.For(device);
        (Tensor[] t, DeviceBuffer memory) = Arena.Build(device, arena => new[]
        {
            arena.Take((64, 48)), arena.Take((192, 48)), arena.Take(192), arena.Take((64, 192)), arena.Take((192, 48), DType.BF16),
        });
        void Both()
        {
            ops.MatMul(t[0], t[1], t[2], t[3]);
            ops.MatMul(t[0], t[4], t[2], t[3]);
            ops.MatMul(t[0].Range(0, 2), t[4], t[2], t[3].Range(0, 2));
            ops.MatMulBackward(t[3], t[0], t[1], Tensor.None, t[1], t[2]);
        }
        for (int warm = 0; warm < 3; warm++) Both();
        long managed = GC.GetAllocatedBytesForCurrentThread(), native = device.Allocations;
        for (int call = 0; call < 20; call++) Both();
        Assert.Equal(managed, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(native, device.Allocations);
        memory.Dispose();
    }

    [Fact]
    public void A_tensor_is_not_its_own_product()
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        ((Tensor x, Tensor w), DeviceBuffer memory) = Arena.Build(device, arena => (arena.Take((4, 4)), arena.Take((4, 4))));
        Assert.Throws<ArgumentException>(() => ops.MatMul(x, w, Tensor.None, x));
        Assert.Throws<ArgumentException>(() => ops.MatMulBackward(x, Tensor.None, w, x, Tensor.None, Tensor.None));
        Assert.Throws<ArgumentException>(() => ops.MatMul(x, w.As(16), Tensor.None, x));
        memory.Dispose();
    }

    private static void CheckProducts(CpuDevice device, CpuOps ops, int n, int i, int o, bool hasBias, ref PhiloxStream random)
    {
        (Tensor[] t, DeviceBuffer memory) = Arena.Build(device, arena => new[]
        {
            arena.Take((n, i)), arena.Take((o, i)), arena.Take(o), arena.Take((n, o)),
            arena.Take((n, i)), arena.Take((o, i)), arena.Take(o), arena.Take((n, o)),
        });
        foreach (Tensor tensor in t) Fill(tensor, ref random);
        Tensor x = t[0], w = t[1], bias = t[2], dy = t[3], dx = t[4], dw = t[5], dBias = t[6], y = t[7];
        double[] xs = CaseRun.Values(x), ws = CaseRun.Values(w), bs = CaseRun.Values(bias), dys = CaseRun.Values(dy);
        double[] dws = CaseRun.Values(dw), dbs = CaseRun.Values(dBias);
        double[] ys = MatMulShapes.Product(new CaseShape("", n, i, o), xs, ws, hasBias ? bs : new double[o]), dxs = new double[n * i];
        for (int a = 0; a < n; a++)
            for (int b = 0; b < o; b++)
            {
                double g = dys[a * o + b];
                dbs[b] += g;
                for (int c = 0; c < i; c++)
                {
                    dxs[a * i + c] += g * ws[b * i + c];
                    dws[b * i + c] += g * xs[a * i + c];
                }
            }
        dx.Span<float>().Fill(float.NaN);
        y.Span<float>().Fill(float.NaN);
        ops.MatMul(x, w, hasBias ? bias : Tensor.None, y);
        ops.MatMulBackward(dy, x, w, dx, dw, hasBias ? dBias : Tensor.None);
        string what = $"{ops.GemmPath}, N {n}, I {i}, O {o}";
        AssertClose(ys, y, what + ", y", i);
        AssertClose(dxs, dx, what + ", dx", o);
        AssertClose(dws, dw, what + ", dw", n);
        if (hasBias) AssertClose(dbs, dBias, what + ", dBias", n);
        memory.Dispose();
    }

    private static void AssertClose(double[] expected, Tensor actual, string what, int terms)
    {
        Span<float> values = actual.Span<float>();
        for (int e = 0; e < expected.Length; e++)
            Assert.True(
                Math.Abs(values[e] - expected[e]) <= 2e-6 * (1 + Math.Sqrt(terms) * 4),
                $"{what}[{e}] is {values[e]}, float64 says {expected[e]}.");
    }

    private static void Fill(Tensor tensor, ref PhiloxStream random)
    {
        foreach (ref float value in tensor.Span<float>()) value = (float)random.NextNormal();
    }
}
