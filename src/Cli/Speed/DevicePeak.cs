using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Speed;

/// <summary>What a device could do at most.</summary>
/// <param name="BytesPerSecond">Of its memory.</param>
/// <param name="FlopsPerSecond">In products of the type that it trains in.</param>
/// <param name="Source">Where the two come from.</param>
internal sealed record DevicePeak(double BytesPerSecond, double FlopsPerSecond, string Source)
{
    private const int CopyFloats = 32 << 20, Copies = 7;

    /// <summary>A card's by its clocks, bus and multiprocessors; the CPU's measured now.</summary>
    public static DevicePeak Of(Ops ops) => ops.Device switch
    {
        CudaDevice card => new DevicePeak(
            card.Properties.MemoryBytesPerSecond, card.Properties.TensorFlopsPerSecond,
            "the card's memory clock and bus; multiply-adds of its tensor cores (BF16) at its clock"),
        CpuDevice cpu => new DevicePeak(CopyRate(ops), FmaPeak.Measure(cpu.Workers), "a copy of 128 MiB, read and written; fp32 multiply-adds in registers, both measured in this run"),
        _ => throw new ArgumentException($"{ops.Device.Name} has no known peak."),
    };

    private static double CopyRate(Ops ops)
    {
        ((Tensor from, Tensor to), DeviceBuffer memory) = Arena.Build(ops.Device, arena => (arena.Take(CopyFloats), arena.Take(CopyFloats)));
        using (memory)
        {
            double best = double.PositiveInfinity;
            for (int i = 0; i < Copies; i++)
            {
                long start = Stopwatch.GetTimestamp();
                ops.Copy(from, to);
                best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
            return (from.Bytes + to.Bytes) / best;
        }
    }
}
