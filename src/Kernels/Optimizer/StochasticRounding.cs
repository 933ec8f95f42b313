using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Rounding to BF16 up or down by chance, so that the mean is the value itself (Gupta et al. 2015). Element i of step t takes
/// word i mod 4 of the Philox block (i / 4, t), as kernels-cu/adam_w.cu does.
/// </summary>
internal static unsafe class StochasticRounding
{
    private const ulong Key = 0x64_6E_75_6F_72;   // a stream of its own

    /// <param name="source">As many as <paramref name="destination"/>.</param>
    /// <param name="first">The number of the first element, a multiple of four.</param>
    public static void Round(float* source, Span<ushort> destination, long first, uint step)
    {
        for (int i = 0; i < destination.Length; i += 4)
        {
            long block = (first + i) / 4;
            (uint x0, uint x1, uint x2, uint x3) = Philox.Block(Key, (uint)block, (uint)(block >> 32), step, 0);
            ReadOnlySpan<uint> words = [x0, x1, x2, x3];
            for (int k = 0; k < 4 && i + k < destination.Length; k++) destination[i + k] = Round(source[i + k], words[k]);
        }
    }

    /// <summary>Adds the lower half of a random word to what is cut off; what is not finite stays as it is.</summary>
    public static ushort Round(float value, uint word) =>
        float.IsFinite(value) ? (ushort)((BitConverter.SingleToUInt32Bits(value) + (word & 0xFFFF)) >> 16) : BFloat16.Round(value);
}
