using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Samples of one prompt in one batch have the bits that each has alone, and those of a prompt of its own.</summary>
[Collection(CudaCollection.Name)]
public sealed class SharedPromptTests(CudaFixture cuda)
{
    private const int Heads = 6, KvHeads = 2, HeadDim = 24, PromptCapacity = 300, Capacity = 160;
    private const int Width = (Heads + 2 * KvHeads) * HeadDim, Column = KvHeads * HeadDim, Result = Heads * HeadDim;

    private static readonly int[] Of = [0, 0, 0, 0, 2, 2, 0, 1];
    private static readonly int[] PromptLengths = [290, 0, 41];
    private static readonly int[] Lengths = [0, 5, 141, 17, 33, 3, 60, 90];

    [Theory]
    [InlineData(CacheLayout.Sequence, 1, true), InlineData(CacheLayout.Sequence, 9, true), InlineData(CacheLayout.Siblings, 3, false)]
    [InlineData(CacheLayout.Siblings, 19, false), InlineData(CacheLayout.Prompt, 7, true)]
    public void Rows_do_not_depend_on_who_shares_their_prompt(CacheLayout layout, int tokens, bool hasCounts)
    {
        using (CpuDevice cpu = new(2)) Check(cpu, DType.F32, layout, tokens, hasCounts);
        foreach (DType type in (DType[])[DType.F32, DType.BF16])
        {
            using CudaDevice card = cuda.Open();
            Check(card, type, layout, tokens, hasCounts);
        }
    }

    private static void Check(Device device, DType type, CacheLayout layout, int tokens, bool hasCounts)
    {
        Ops ops = Ops.For(device);
        List<DeviceBuffer> buffers = [];
        int rows = Of.Length;
        Tensor qkv = Random((rows * tokens, Width), 1), keys = Random((rows, Capacity, Column), 2), values = Random((rows, Capacity, Column), 3);
        Tensor promptKeys = Random((3, PromptCapacity, Column), 4), promptValues = Random((3, PromptCapacity, Column), 5);
        Tensor promptLengths = Integers(PromptLengths), lengths = Integers(Lengths);
        Tensor counts = hasCounts ? Integers([.. Enumerable.Range(0, rows).Select(row => (row + 1) % (tokens + 1))]) : Tensor.None;

        byte[] together = Attend(0, rows, new CachedPrompts(promptKeys, promptValues, promptLengths, Integers(Of)));
        Assert.True(together.Distinct().Count() > 100);
        for (int row = 0; row < rows; row++)
        {
            byte[] alone = Attend(row, 1, new CachedPrompts(promptKeys, promptValues, promptLengths, Integers([Of[row]])));
            Assert.Equal(alone, together[(row * alone.Length)..((row + 1) * alone.Length)]);
        }
        // The same prompts as an entry for each row.
        Tensor copiedKeys = New((rows, PromptCapacity, Column), type), copiedValues = New((rows, PromptCapacity, Column), type);
        for (int row = 0; row < rows; row++)
        {
            ops.Copy(promptKeys.Slice(Of[row]), copiedKeys.Slice(row));
            ops.Copy(promptValues.Slice(Of[row]), copiedValues.Slice(row));
        }
        Tensor copiedLengths = Integers([.. Of.Select(prompt => PromptLengths[prompt])]), each = Integers([.. Enumerable.Range(0, rows)]);
        Assert.Equal(together, Attend(0, rows, new CachedPrompts(copiedKeys, copiedValues, copiedLengths, each)));
        foreach (DeviceBuffer buffer in buffers) buffer.Dispose();

        byte[] Attend(int first, int count, CachedPrompts prompts)
        {
            Tensor y = New((count * tokens, Result), type);
            ops.CachedAttention(
                qkv.Range(first * tokens, count * tokens), prompts, keys.Range(first, count), values.Range(first, count),
                lengths.Range(first, count), counts.IsNone ? counts : counts.Range(first, count), Heads, KvHeads, layout, y);
            byte[] bytes = new byte[y.Bytes];
            if (type == DType.F32) device.Download(y, MemoryMarshal.Cast<byte, float>(bytes.AsSpan()));
            else device.Download(y, MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan()));
            return bytes;
        }

        Tensor Random(Shape shape, ulong seed)
        {
            PhiloxStream random = new(seed);
            float[] drawn = new float[shape.Count];
            foreach (ref float value in drawn.AsSpan()) value = random.NextNormal();
            Tensor tensor = New(shape, type);
            if (type == DType.F32)
            {
                device.Upload<float>(drawn, tensor);
                return tensor;
            }
            ushort[] halves = new ushort[drawn.Length];
            BFloat16.Round(drawn, halves);
            device.Upload<ushort>(halves, tensor);
            return tensor;
        }

        Tensor Integers(int[] integers)
        {
            Tensor tensor = New(integers.Length, DType.I32);
            device.Upload<int>(integers, tensor);
            return tensor;
        }

        Tensor New(Shape shape, DType of)
        {
            (Tensor tensor, DeviceBuffer memory) = Arena.Build(device, arena => arena.Take(shape, of));
            buffers.Add(memory);
            return tensor;
        }
    }
}
