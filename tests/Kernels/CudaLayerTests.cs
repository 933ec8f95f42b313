using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>What the cases of the CUDA layer, memory and optimizer ops cannot say: wrong ids, addresses off 16 bytes, replay.</summary>
[Collection(CudaCollection.Name)]
public sealed class CudaLayerTests(CudaFixture cuda)
{
    private const int Columns = 24;

    [Theory]
    [InlineData(-1)]
    [InlineData(5)]
    public void An_unknown_token_makes_its_row_NaN_and_has_no_gradient(int token)
    {
        using CudaDevice device = cuda.Open(isChecked: true);
        Ops ops = Ops.For(device);
        ((Tensor tokens, Tensor table, Tensor y), DeviceBuffer memory) = Arena.Build(
            device, arena => (arena.Take(3, DType.I32), arena.Take((5, Columns)), arena.Take((3, Columns))));
        using (memory)
        {
            device.Upload<int>([4, token, 4], tokens);
            ops.Fill(table, 2f);
            ops.Embedding(tokens, table, Tensor.None, Tensor.None, y);
            float[] values = Download(device, y);
            Assert.All(values[..Columns], value => Assert.Equal(2, value));
            Assert.All(values[Columns..(2 * Columns)], value => Assert.True(float.IsNaN(value)));
            ops.Fill(y, 1f);
            ops.EmbeddingBackward(y, tokens, Tensor.None, table, Tensor.None);
            values = Download(device, table);
            Assert.All(values[..(4 * Columns)], value => Assert.Equal(2, value));
            Assert.All(values[(4 * Columns)..], value => Assert.Equal(4, value));
        }
    }

    [Fact]
    public void Tensors_off_the_boundaries_of_16_bytes_are_taken_one_by_one()
    {
        using CudaDevice device = cuda.Open(isChecked: true);
        Ops ops = Ops.For(device);
        ((Tensor all, Tensor to, Tensor weight, Tensor stats), DeviceBuffer memory) = Arena.Build(
            device, arena => (arena.Take(4 * Columns + 1), arena.Take(4 * Columns + 1), arena.Take(Columns), arena.Take(4)));
        using (memory)
        {
            float[] values = [.. Enumerable.Range(0, 4 * Columns + 1).Select(i => (float)i)];
            device.Upload<float>(values, all);
            Tensor x = all.Range(1, 4 * Columns).As((4, Columns)), y = to.Range(1, 4 * Columns).As((4, Columns));
            ops.Add(x, x, y);
            Assert.Equal(values.Select((value, i) => i == 0 ? 0 : 2 * value), Download(device, to));
            ops.Copy(x, y);
            Assert.Equal(values, Download(device, to));
            ops.Fill(weight, 1f);
            ops.RmsNorm(x, weight, 1e-5f, y, stats);
            float[] normed = Download(device, to), scales = Download(device, stats);
            for (int i = 1; i < values.Length; i++) Assert.Equal(values[i] * scales[(i - 1) / Columns], normed[i], 1e-5f);
            ops.Fill(x, 3f);
            Assert.Equal(values.Select((_, i) => i == 0 ? 0f : 3), Download(device, all));
        }
    }

    [Fact]
    public void A_replayed_step_rounds_by_other_random_numbers()
    {
        const float Low = 1, High = 1 + 1 / 128f;
        using CudaDevice device = cuda.Open();
        Ops ops = Ops.For(device);
        ((Tensor w, Tensor zeros, Tensor rounded, Tensor schedule), DeviceBuffer memory) = Arena.Build(
            device, arena => (arena.Take(1000), arena.Take((3, 1000)), arena.Take(1000, DType.BF16), arena.Take(4)));
        using (memory)
        {
            AdamWSettings settings = new(0.9f, 0.95f, 1e-8f, 0, RoundsStochastically: true);
            ops.Fill(w, (Low + High) / 2);
            device.Upload<float>([0, 0.1f, 0.05f, 1], schedule);
            using RecordedStep step = device.Record(
                () => ops.AdamW(w, zeros.Slice(0), zeros.Slice(1), zeros.Slice(2), settings, schedule, Tensor.None, rounded));
            float[] Run(int number)
            {
                device.Upload<float>([0, 0.1f, 0.05f, number], schedule);
                step.Run();
                ushort[] bits = new ushort[1000];
                device.Download<ushort>(rounded, bits);
                return [.. bits.Select(BFloat16.Widen)];
            }
            float[] first = Run(1), second = Run(2), third = Run(3), again = Run(2);
            Assert.Equal(second, again);
            Assert.NotEqual(first, second);
            Assert.NotEqual(second, third);
            Assert.All(third, value => Assert.True(value is Low or High));
        }
    }

    private static float[] Download(CudaDevice device, Tensor tensor)
    {
        float[] values = new float[tensor.Count];
        device.Download<float>(tensor, values);
        return values;
    }
}
