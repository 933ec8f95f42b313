using System.Runtime.CompilerServices;

namespace QSharp.Engine;

/// <summary>
/// Philox-4x32-10, the counter-based generator of Salmon et al. (SC 2011): random bits are a pure function of
/// (key, counter), so any draw can be repeated alone, in any order, on any device.
/// </summary>
public static class Philox
{
    private const uint Multiplier0 = 0xD2511F53;
    private const uint Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9;
    private const uint Weyl1 = 0xBB67AE85;

    /// <summary>Four random words for a counter of four words under a 64-bit key.</summary>
    public static (uint X0, uint X1, uint X2, uint X3) Block(ulong key, uint c0, uint c1, uint c2, uint c3)
    {
        uint k0 = (uint)key, k1 = (uint)(key >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong p0 = (ulong)Multiplier0 * c0, p1 = (ulong)Multiplier1 * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += Weyl0;
            k1 += Weyl1;
        }
        return (c0, c1, c2, c3);
    }

    /// <summary>
    /// A uniform number in (0, 1) with 23 bits, never 0 and never 1: the half is exact. With 24 bits the largest word plus a
    /// half would round to 1.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Uniform(uint bits) => ((bits >> 9) + 0.5f) * (1f / (1 << 23));

    /// <summary>A key for an independent stream of a seed, such as one phase of an experiment.</summary>
    public static ulong Key(ulong seed, uint stream)
    {
        (uint x0, uint x1, _, _) = Block(seed, stream, 0x51_53_68_70, 0, 0);
        return x0 | ((ulong)x1 << 32);
    }
}

/// <summary>
/// A cursor over one Philox stream for code that draws one number after another (graphs, shuffles, initial weights).
/// Its whole state is (key, position), so a saved run resumes exactly.
/// </summary>
public struct PhiloxStream(ulong key, ulong position = 0)
{
    private (uint X0, uint X1, uint X2, uint X3) _block;
    private ulong _blockIndex = ulong.MaxValue;

    public readonly ulong Key => key;

    /// <summary>Words drawn so far.</summary>
    public ulong Position { get; private set; } = position;

    public uint NextWord()
    {
        ulong index = Position >> 2;
        if (index != _blockIndex)
        {
            _block = Philox.Block(key, (uint)index, (uint)(index >> 32), 0, 0);
            _blockIndex = index;
        }
        uint lane = (uint)(Position++ & 3);
        return lane switch { 0 => _block.X0, 1 => _block.X1, 2 => _block.X2, _ => _block.X3 };
    }

    /// <summary>A uniform number in (0, 1).</summary>
    public float NextUniform() => Philox.Uniform(NextWord());

    /// <summary>A uniform integer in [0, <paramref name="bound"/>), without bias.</summary>
    public int NextInt(int bound)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bound);
        uint reject = (uint)((1UL << 32) % (uint)bound);   // the words that would be drawn once too often (Lemire 2019)
        while (true)
        {
            ulong product = (ulong)NextWord() * (uint)bound;
            if ((uint)product >= reject) return (int)(product >> 32);
        }
    }

    /// <summary>A draw from N(0, 1) by Box and Muller; takes two words.</summary>
    public float NextNormal()
    {
        double u = Philox.Uniform(NextWord()), v = Philox.Uniform(NextWord());
        return (float)(Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v));
    }

    /// <summary>Puts a span in uniformly random order (Fisher and Yates).</summary>
    public void Shuffle<T>(Span<T> values)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int j = NextInt(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }
}
