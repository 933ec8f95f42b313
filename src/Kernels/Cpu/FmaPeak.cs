using System.Diagnostics;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>The most multiply-adds that the machine does, in fp32, with operands in registers.</summary>
internal static unsafe class FmaPeak
{
    private const int Steps = 4_000;
    private const int Chains = 16;

    /// <summary>Operations a second of a team, the best of many short runs.</summary>
    public static double Measure(Workers workers, int runs = 60)
    {
        float* sink = stackalloc float[workers.Threads * 16];
        double best = double.PositiveInfinity;
        for (int i = 0; i < runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            workers.For(workers.Threads * 4, 1, new Work(sink));
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        int lanes = Vector512.IsHardwareAccelerated ? 16 : 8;
        return workers.Threads * 4.0 * Steps * Chains * lanes * 2 / best;
    }

    private readonly struct Work(float* sink) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
                if (Vector512.IsHardwareAccelerated) Vector512.Store(Run512(), sink + worker * 16);
                else Vector256.Store(Run256(), sink + worker * 16);
        }

        private static Vector512<float> Run512()
        {
            Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(0.001f);
            Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
            Vector512<float> i = x, j = x, k = x, l = x, m = x, n = x, o = x, p = x;
            for (int step = 0; step < Steps; step++)
            {
                a = Vector512.FusedMultiplyAdd(a, x, y); b = Vector512.FusedMultiplyAdd(b, x, y);
                c = Vector512.FusedMultiplyAdd(c, x, y); d = Vector512.FusedMultiplyAdd(d, x, y);
                e = Vector512.FusedMultiplyAdd(e, x, y); f = Vector512.FusedMultiplyAdd(f, x, y);
                g = Vector512.FusedMultiplyAdd(g, x, y); h = Vector512.FusedMultiplyAdd(h, x, y);
                i = Vector512.FusedMultiplyAdd(i, x, y); j = Vector512.FusedMultiplyAdd(j, x, y);
                k = Vector512.FusedMultiplyAdd(k, x, y); l = Vector512.FusedMultiplyAdd(l, x, y);
                m = Vector512.FusedMultiplyAdd(m, x, y); n = Vector512.FusedMultiplyAdd(n, x, y);
                o = Vector512.FusedMultiplyAdd(o, x, y); p = Vector512.FusedMultiplyAdd(p, x, y);
            }
            return a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p;
        }

        private static Vector256<float> Run256()
        {
            Vector256<float> x = Vector256.Create(0.999f), y = Vector256.Create(0.001f);
            Vector256<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
            Vector256<float> i = x, j = x, k = x, l = x;
            // 16 registers hold 12 chains, x and y: four chains take two steps.
            for (int step = 0; step < Steps; step++)
            {
                a = Vector256.FusedMultiplyAdd(a, x, y); b = Vector256.FusedMultiplyAdd(b, x, y);
                c = Vector256.FusedMultiplyAdd(c, x, y); d = Vector256.FusedMultiplyAdd(d, x, y);
                e = Vector256.FusedMultiplyAdd(e, x, y); f = Vector256.FusedMultiplyAdd(f, x, y);
                g = Vector256.FusedMultiplyAdd(g, x, y); h = Vector256.FusedMultiplyAdd(h, x, y);
                i = Vector256.FusedMultiplyAdd(i, x, y); j = Vector256.FusedMultiplyAdd(j, x, y);
                k = Vector256.FusedMultiplyAdd(k, x, y); l = Vector256.FusedMultiplyAdd(l, x, y);
                a = Vector256.FusedMultiplyAdd(a, x, y); b = Vector256.FusedMultiplyAdd(b, x, y);
                c = Vector256.FusedMultiplyAdd(c, x, y); d = Vector256.FusedMultiplyAdd(d, x, y);
            }
            return a + b + c + d + e + f + g + h + i + j + k + l;
        }
    }
}
