using System.Diagnostics;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Bench;

/// <summary>What the machine is and what it can read.</summary>
internal static unsafe class Machine
{
    private const int PieceBytes = 1 << 16;

    public static string Processor()
    {
        const string Information = "/proc/cpuinfo";
        if (!File.Exists(Information)) return "unknown";
        string Field(string name) =>
            File.ReadLines(Information).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))
                ?.Split(':')[1].Trim() ?? "?";
        return $"{Field("model name")} (family {Field("cpu family")}, model {Field("model\t")})";
    }

    /// <summary>Bytes a second of a plain loop over all of a tensor's memory.</summary>
    public static double ReadRate(Workers workers, Tensor memory)
    {
        byte* sink = stackalloc byte[64 * workers.Threads];
        int pieces = (int)(memory.Bytes / PieceBytes);
        long start = Stopwatch.GetTimestamp();
        workers.For(pieces, Math.Max(pieces / (8 * workers.Threads), 1), new ReadWork((byte*)memory.Address, sink));
        return (double)pieces * PieceBytes / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private readonly struct ReadWork(byte* memory, byte* sink) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            Vector512<byte> a = default, b = default, c = default, d = default;
            byte* p = memory + (long)begin * PieceBytes, stop = memory + (long)end * PieceBytes;
            for (; p < stop; p += 256)
            {
                a ^= Vector512.Load(p);
                b ^= Vector512.Load(p + 64);
                c ^= Vector512.Load(p + 128);
                d ^= Vector512.Load(p + 192);
            }
            (a ^ b ^ c ^ d).Store(sink + 64 * worker);
        }
    }
}
