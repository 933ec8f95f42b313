using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>The stand-in's matrix products are those of cuBLAS.</summary>
[Collection(CudaCollection.Name)]
public sealed unsafe class BlasTests(CudaFixture cuda)
{
    public static TheoryData<int, int, int, bool, bool, int, int, float> Cases()
    {
        TheoryData<int, int, int, bool, bool, int, int, float> data = [];
        foreach ((int m, int n, int k) in ((int, int, int)[])[(1, 1, 1), (37, 13, 300), (64, 1, 70), (5, 3, 0), (70, 33, 257)])
            foreach (bool ta in (bool[])[false, true])
                foreach (bool tb in (bool[])[false, true])
                    foreach ((int input, int output) in ((int, int)[])[(0, 0), (14, 0), (14, 14)])
                        data.Add(m, n, k, ta, tb, input, output, m % 2 == 0 ? 0 : 0.5f);
        return data;
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_product_agrees_with_a_double_loop(int m, int n, int k, bool ta, bool tb, int input, int output, float beta)
    {
        using Driver driver = new(cuda, isChecked: true);
        PhiloxStream random = new((ulong)(m + n + k));
        int lda = (ta ? k : m) + 3, ldb = (tb ? n : k) + 1, ldc = m + 2;
        float[] a = Values(lda * Math.Max(1, ta ? m : k), ref random), b = Values(ldb * Math.Max(1, tb ? k : n), ref random);
        float[] c = Values(ldc * n, ref random);
        if (beta == 0) Array.Fill(c, float.NaN);   // must not be read
        Tensor at = Put(driver.Device, a, input), bt = Put(driver.Device, b, input), ct = Put(driver.Device, c, output);
        float alpha = 1.5f;
        Driver.Assert0(CuBlas.cublasCreate_v2(out nint handle));
        Driver.Assert0(CuBlas.cublasSetStream_v2(handle, driver.Device.Stream));
        Driver.Assert0(CuBlas.cublasGemmEx(handle, ta ? 1 : 0, tb ? 1 : 0, m, n, k, &alpha, at.Address, input, lda, bt.Address, input, ldb,
            &beta, ct.Address, output, ldc, CuBlas.Compute32F, CuBlas.DefaultAlgorithm));
        float[] product = output == CuBlas.TypeF32 ? HostValues.Download<float>(ct)
            : [.. HostValues.Download<ushort>(ct).Select(bits => BitConverter.UInt32BitsToSingle((uint)bits << 16))];
        for (int j = 0; j < n; j++)
            for (int i = 0; i < ldc; i++)
            {
                double sum = 0, size = 0;
                for (int p = 0; i < m && p < k; p++)
                {
                    double term = (double)a[ta ? p + i * lda : i + p * lda] * b[tb ? j + p * ldb : p + j * ldb];
                    sum += term;
                    size += Math.Abs(term);
                }
                double expected = i >= m ? c[i + j * ldc] : alpha * sum + (beta == 0 ? 0 : beta * c[i + j * ldc]);
                double tolerance = 1e-5 * (1 + size) + (output == 14 ? Math.Abs(expected) / 256 : 0);
                if (double.IsNaN(expected)) Assert.True(float.IsNaN(product[i + j * ldc]));
                else Assert.Equal(expected, product[i + j * ldc], tolerance);
            }
        Driver.Assert0(CuBlas.cublasDestroy_v2(handle));
    }

    [Fact]
    public void Wrong_strides_types_and_sizes_are_refused()
    {
        using Driver driver = new(cuda);
        Tensor x = HostValues.Upload(driver.Device, DType.F32, new float[64]);
        Driver.Assert0(CuBlas.cublasCreate_v2(out nint handle));
        Assert.Equal(7, Product(8, 7, 0, 0));
        Assert.Equal(7, Product(-1, 8, 0, 0));
        Assert.Equal(15, Product(8, 8, 2, 0));
        Assert.Equal(15, Product(8, 8, 0, 14));
        Assert.Equal(1, CuBlas.cublasDestroy_v2(0));
        Assert.Equal(13, Product(9, 9, 0, 0));   // beyond the operands' memory; the legacy stream runs at once
        Assert.Contains("beyond", Driver.Report);

        int Product(int m, int lda, int type, int outputType)
        {
            float one = 1;
            return CuBlas.cublasGemmEx(handle, 0, 0, m, 8, 8, &one, x.Address, type, lda, x.Address, type, 8,
                &one, x.Address, outputType, Math.Max(m, 1), CuBlas.Compute32F, CuBlas.DefaultAlgorithm);
        }
    }

    private static float[] Values(int count, ref PhiloxStream random)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = MathF.Round((random.NextUniform() - 0.5f) * 128) / 64;   // exact in bf16
        return values;
    }

    private static Tensor Put(CudaDevice device, float[] values, int type) => type == CuBlas.TypeF32
        ? HostValues.Upload(device, DType.F32, values)
        : HostValues.Upload(device, DType.BF16, [.. values.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))]);
}
