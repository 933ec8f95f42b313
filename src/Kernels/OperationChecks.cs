using System.Globalization;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Each named operation of qs.cuh alone, through the kernels of kernels-cu/checks/operations.cu, against a few lines of C#. On a
/// card they come before all else: the stand-in runs their C++ halves, so nothing but a card has ever run their PTX.
/// </summary>
internal static class OperationChecks
{
    private const string Kernels = "operations";

    /// <summary>One check; it gives null where the operation is right, else a sentence about the first wrong value.</summary>
    public sealed record Check(string Name, Func<CudaDevice, string?> Run);

    public static IReadOnlyList<Check> All { get; } =
    [
        new("bf16 rounding", RoundsToBFloat16),
        new("ldmatrix x4", device => LoadsMatrices(device, 0)),
        new("ldmatrix x4 transposed", device => LoadsMatrices(device, 1)),
        new("ldmatrix x2", device => LoadsMatrices(device, 2)),
        new("ldmatrix x2 transposed", device => LoadsMatrices(device, 3)),
        new("mma", Multiplies),
        new("cp.async", device => CopiesAsynchronously(device, 32)),
        new("cp.async, some zero-filled", device => CopiesAsynchronously(device, 13)),
        new("cp.async, all zero-filled", device => CopiesAsynchronously(device, 0)),
        new("Philox", Draws),
        .. ((int[])[1, 31, 32, 33, 100, 256, 1023, 1024]).Select(threads =>
            new Check($"block of {threads}: sum, max", device => ReducesBlocks(device, threads))),
        new("warp sum and max", ReducesWarps),
        new("loads and stores of 4 and 8", MovesVectors),
        new("scalar functions", HasScalars),
    ];

    /// <summary>A folder's kernels and those of the checks, which lie in a folder of their own as no op uses them.</summary>
    public static KernelFolder Folder(KernelFolder kernels) => kernels.With(Kernels, Path.Combine(kernels.Path, "checks", Kernels + ".cu"));

    // Every upper half with every kind of lower half: below, at and above the tie, and the ends.
    private static string? RoundsToBFloat16(CudaDevice device)
    {
        float[] values =
        [
            .. Enumerable.Range(0, 0x10000).SelectMany(high => ((uint[])[0, 1, 0x7fff, 0x8000, 0x8001, 0xffff])
                .Select(low => BitConverter.UInt32BitsToSingle(((uint)high << 16) | low))),
        ];
        int[] rounded = Words(device, "round_bf16", (values.Length + 255) / 256, 256, values, values.Length, values.Length);
        return First(rounded, [.. values.Select(value => float.IsNaN(value) ? 0x7fff : Rounded(value))]);
    }

    private static string? LoadsMatrices(CudaDevice device, int how)
    {
        Tensor result = HostValues.Upload(device, DType.I32, new int[128]);
        device.Kernels.Get(Kernels, "load_matrix", "").Launch(1, 32, 0, result, how);
        int[] expected = new int[128];
        for (int lane = 0; lane < 32; lane++)
            for (int tile = 0; tile < (how >= 2 ? 2 : 4); tile++)
            {
                int row = lane / 4, column = lane % 4 * 2;
                int Element(int y, int x) => tile * 64 + y * 8 + x;
                (int low, int high) = how % 2 == 0
                    ? (Element(row, column), Element(row, column + 1))
                    : (Element(column, row), Element(column + 1, row));
                expected[lane * 4 + tile] = low | (high << 16);
            }
        return First(HostValues.Download<int>(result), expected);
    }

    // The order of a tensor core's sums is not told, so this one is compared with a tolerance.
    private static string? Multiplies(CudaDevice device)
    {
        PhiloxStream random = new(7);
        ushort[] a = new ushort[256], b = new ushort[128];
        for (int i = 0; i < a.Length; i++) a[i] = (ushort)Rounded(random.NextUniform() - 0.5f);
        for (int i = 0; i < b.Length; i++) b[i] = (ushort)Rounded(random.NextUniform() - 0.5f);
        float[] c = [.. Enumerable.Range(0, 128).Select(i => i / 64f)];
        Tensor result = HostValues.Upload(device, DType.F32, c);
        device.Kernels.Get(Kernels, "mma", "").Launch(1, 32, 0, HostValues.Upload(device, DType.BF16, a), HostValues.Upload(device, DType.BF16, b), result);
        double[] expected = new double[128];
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++)
            {
                expected[i * 8 + j] = c[i * 8 + j];
                for (int k = 0; k < 16; k++) expected[i * 8 + j] += (double)Wide(a[i * 16 + k]) * Wide(b[k * 8 + j]);
            }
        return Near(HostValues.Download<float>(result), expected, 1e-5);
    }

    private static string? CopiesAsynchronously(CudaDevice device, int valid)
    {
        float[] values = [.. Enumerable.Range(1, 256).Select(i => (float)i)];
        float[] copies = Floats(Words(device, "copy_async", 1, 32, values, 256, valid));
        return First(copies, [.. values.Select((value, i) => i % 128 / 4 < valid ? value : 0)]);
    }

    private static string? Draws(CudaDevice device)
    {
        const ulong Key = 0x1234_5678_9abc_def0;
        const int Count = 1000;
        Tensor words = HostValues.Upload(device, DType.I32, new int[4 * Count]), uniforms = HostValues.Upload(device, DType.F32, new float[Count]);
        device.Kernels.Get(Kernels, "draw", "").Launch(8, 128, 0, words, uniforms, Key, Count);
        uint[] expected = new uint[4 * Count];
        for (uint i = 0; i < Count; i++)
            (expected[4 * i], expected[4 * i + 1], expected[4 * i + 2], expected[4 * i + 3]) = Philox.Block(Key, i, 1, 2, i * i);
        return First(HostValues.Download<uint>(words), expected)
            ?? First(HostValues.Download<float>(uniforms), [.. Enumerable.Range(0, Count).Select(i => Philox.Uniform(expected[4 * i]))]);
    }

    private static string? ReducesBlocks(CudaDevice device, int threads)
    {
        PhiloxStream random = new((ulong)threads);
        float[] values = new float[threads];
        for (int i = 0; i < threads; i++) values[i] = random.NextUniform() - 0.7f;
        values[threads / 2] = values[threads - 1] = values.Max();   // of two largest, the first counts
        int[] results = Words(device, "reduce_block", 1, threads, values, 4 * threads);
        int largest = BitConverter.SingleToInt32Bits(values.Max()), index = Array.IndexOf(values, values.Max());
        int sum = threads * (threads - 1) / 2;
        // Every thread has the same bits of the float sum, which lies near the exact one.
        return First(results, [.. Enumerable.Range(0, threads).SelectMany(_ => (int[])[results[0], largest, sum, index])])
            ?? Near([BitConverter.Int32BitsToSingle(results[0])], [values.Sum(value => (double)value)], 1e-4);
    }

    private static string? ReducesWarps(CudaDevice device)
    {
        float[] values = [.. Enumerable.Range(0, 32).Select(i => (float)(i * 7 % 32))];
        float[] results = Floats(Words(device, "reduce_warp", 1, 32, values, 128));
        return First(results, [.. Enumerable.Range(0, 32).SelectMany(i =>
        {
            float[] group = values[(i / 8 * 8)..(i / 8 * 8 + 8)];
            return (float[])[values.Sum(), values.Max(), group.Sum(), group.Max()];
        })]);
    }

    private static string? MovesVectors(CudaDevice device)
    {
        float[] x = [.. Enumerable.Range(0, 12 * 32).Select(i => i + 0.25f)];
        ushort[] u = [.. Enumerable.Range(0, 16 * 32).Select(i => (ushort)Rounded(i))];
        Tensor y = HostValues.Upload(device, DType.F32, new float[x.Length]), v = HostValues.Upload(device, DType.BF16, new ushort[u.Length]);
        device.Kernels.Get(Kernels, "vectors", "").Launch(1, 32, 0, HostValues.Upload(device, DType.F32, x), y, HostValues.Upload(device, DType.BF16, u), v);
        return First(HostValues.Download<float>(y), x) ?? First(HostValues.Download<ushort>(v), u);
    }

    private static string? HasScalars(CudaDevice device)
    {
        const int Root = 13;   // rsqrtf, which CUDA computes to within 2 units in the last place
        Tensor result = HostValues.Upload(device, DType.I32, new int[16]);
        device.Kernels.Get(Kernels, "scalars", "").Launch(1, 1, 0, result);
        int[] values = HostValues.Download<int>(result);
        int half = BitConverter.SingleToInt32Bits(0.5f);
        if (Math.Abs((long)values[Root] - half) <= 2) values[Root] = half;
        int seven = BitConverter.SingleToInt32Bits(7);
        return First(values, [2, -4, -2, int.MaxValue, 8, 63, 32, int.MinValue, 4, 3, -1, 3, seven, half, 1, 7]);
    }

    private static int Rounded(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value), low = bits & 0xffff, high = bits >> 16;
        return (int)(low > 0x8000 || (low == 0x8000 && high % 2 == 1) ? high + 1 : high);
    }

    private static float Wide(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static float[] Floats(int[] words) => [.. words.Select(BitConverter.Int32BitsToSingle)];

    private static int[] Words(
        CudaDevice device, string kernel, int blocks, int threads, float[] input, int results, params KernelArg[] more)
    {
        Tensor result = HostValues.Upload(device, DType.I32, new int[results]);
        device.Kernels.Get(Kernels, kernel, "").Launch(blocks, threads, 0, [HostValues.Upload(device, DType.F32, input), result, .. more]);
        return HostValues.Download<int>(result);
    }

    private static string? First<T>(T[] values, T[] expected)
    {
        for (int i = 0; i < expected.Length; i++)
            if (!EqualityComparer<T>.Default.Equals(values[i], expected[i]))
                return string.Create(CultureInfo.InvariantCulture, $"element {i} is {values[i]}, not {expected[i]}");
        return null;
    }

    private static string? Near(float[] values, double[] expected, double tolerance)
    {
        for (int i = 0; i < expected.Length; i++)
            if (!(Math.Abs(values[i] - expected[i]) <= tolerance))
                return string.Create(CultureInfo.InvariantCulture, $"element {i} is {values[i]}, more than {tolerance} from {expected[i]}");
        return null;
    }
}
