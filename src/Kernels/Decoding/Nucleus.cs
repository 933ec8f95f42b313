using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// Top-p (nucleus) sets (Holtzman et al. 2020) without a sort: the smallest set of the highest scores whose share of
/// Σ exp((score − max) / T) is at least p, the crossing token included, ties lower id first. The crossing score is found
/// by radix selection on its 32 bits in three passes of 11, 11 and 10, each adding up the mass above; tokens too light to
/// matter are left out from the start.
/// </summary>
internal static unsafe class Nucleus
{
    private const int Bins = 2048;

    /// <param name="row">The scores, with <see cref="ScoreRow.Tops"/> and without a support.</param>
    /// <param name="sum">Max and sum of this row at this temperature.</param>
    [SkipLocalsInit]
    public static Support Find(in ScoreRow row, ScoreSum sum, float inverseTemperature, float topP)
    {
        if (topP >= 1 || sum.IsEmpty) return Support.All;
        double target = topP * sum.Sum;
        // All tokens below this weight have together less than half of what may be left out, so the crossing is above it.
        float lightest = (float)(0.5 * (1 - (double)topP) * sum.Sum / row.Count);
        float floor = sum.Max + (MathF.Log(lightest) - 0.01f) / inverseTemperature;   // a score that surely weighs less
        double* mass = stackalloc double[Bins];
        uint prefix = 0;
        double above = 0;
        for (int level = 0; level < 3; level++)
        {
            int shift = level switch { 0 => 21, 1 => 10, _ => 0 };
            int bits = level == 2 ? 10 : 11;
            new Span<double>(mass, Bins).Clear();
            AddMasses(row, sum.Max, inverseTemperature, lightest, floor, prefix, shift, bits, mass);
            int bin = (1 << bits) - 1, lowest = -1;
            for (; bin >= 0; bin--)
            {
                if (mass[bin] == 0) continue;
                if (above + mass[bin] >= target) break;
                lowest = bin;
                above += mass[bin];
            }
            if (bin < 0)
            {
                // Only by rounding: for p next to 1, or where the parts of a bin add up to a bit less than the bin.
                if (level == 0 || lowest < 0) return Support.All;
                bin = lowest;
                above -= mass[bin];
            }
            prefix = (prefix << bits) | (uint)bin;
        }
        float threshold = FromOrdered(prefix);
        float weight = VectorMath.Exp(Vector256.Create((threshold - sum.Max) * inverseTemperature))[0];
        double ties = Math.Clamp(Math.Ceiling((target - above) / weight), 1, int.MaxValue);
        return new Support(threshold, LastTie(row, threshold, (int)ties));
    }

    /// <summary>Adds the weight of every token whose upper bits equal <paramref name="prefix"/> to the bin of its next bits.</summary>
    [SkipLocalsInit]
    private static void AddMasses(
        in ScoreRow row, float max, float scale, float lightest, float floor, uint prefix, int shift, int bits, double* mass)
    {
        float* buffer = stackalloc float[ScoreRow.BlockSize];
        float* weights = stackalloc float[8];
        uint* keys = stackalloc uint[8];
        Vector256<uint> wanted = Vector256.Create(prefix);
        int patch = 0;
        for (int block = 0; block < row.Blocks; block++)
        {
            if (row.Tops[block] < floor) continue;
            int count = row.Load(block, ref patch, buffer);
            for (int i = 0; i < count; i += 8)
            {
                Vector256<float> x = Vector256.Load(buffer + i);
                if (!Vector256.GreaterThanOrEqualAny(x, Vector256.Create(floor))) continue;
                Vector256<uint> key = Ordered(x), isWanted = Vector256<uint>.AllBitsSet;
                if (shift + bits < 32) isWanted = Vector256.Equals(Vector256.ShiftRightLogical(key, shift + bits), wanted);
                if (isWanted.ExtractMostSignificantBits() == 0) continue;   // nearly always, after the first pass
                Vector256<float> weight = VectorMath.Exp((x - Vector256.Create(max)) * scale);
                isWanted &= Vector256.GreaterThanOrEqual(weight, Vector256.Create(lightest)).AsUInt32();
                uint lanes = isWanted.ExtractMostSignificantBits();
                if (lanes == 0) continue;
                weight.Store(weights);
                key.Store(keys);
                for (; lanes != 0; lanes &= lanes - 1)
                {
                    int lane = BitOperations.TrailingZeroCount(lanes);
                    mass[(keys[lane] >> shift) & ((1u << bits) - 1)] += weights[lane];
                }
            }
        }
    }

    /// <summary>The id of tie number <paramref name="number"/> (from 1) at a score; the last one if there are fewer.</summary>
    [SkipLocalsInit]
    private static int LastTie(in ScoreRow row, float score, int number)
    {
        float* buffer = stackalloc float[ScoreRow.BlockSize];
        int patch = 0, last = -1;
        for (int block = 0; block < row.Blocks; block++)
        {
            if (row.Tops[block] < score) continue;
            int count = row.Load(block, ref patch, buffer);
            for (int i = 0; i < count; i += 8)
            {
                uint lanes = Vector256.Equals(Vector256.Load(buffer + i), Vector256.Create(score)).ExtractMostSignificantBits();
                for (; lanes != 0; lanes &= lanes - 1)
                {
                    last = block * ScoreRow.BlockSize + i + BitOperations.TrailingZeroCount(lanes);
                    if (--number == 0) return last;
                }
            }
        }
        return last;
    }

    /// <summary>Bits whose order as unsigned integers is the order of the floats.</summary>
    private static Vector256<uint> Ordered(Vector256<float> x)
    {
        Vector256<int> bits = x.AsInt32();
        return (bits ^ ((bits >> 31) | Vector256.Create(int.MinValue))).AsUInt32();
    }

    private static float FromOrdered(uint key) =>
        BitConverter.UInt32BitsToSingle((key & 0x80000000) != 0 ? key ^ 0x80000000 : ~key);
}
