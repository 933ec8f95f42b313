using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Standard Gumbel noise as a pure function of (key, stream, position, token): the largest of score + noise is a draw from
/// softmax(score) (Gumbel-max), and whoever asks for a token's noise, in whatever order or on whatever device, gets the
/// same number. A twin on another device must follow these four lines:
/// <code>
/// x = word (token mod 4) of Philox.Block(key, token / 4, position, stream, 0)
/// u = (x + 0.5) · 2⁻³²,  v = (~x + 0.5) · 2⁻³²           v = 1 − u, both rounded from the word itself
/// E = v = 1 ? u : ln(v) · u / (v − 1)                    −ln(1 − u), exact for small u too (Kahan)
/// noise = −ln E
/// </code>
/// Small u make the large noises that win, and u keeps full relative precision down to 2⁻³³: noise reaches 22.87 with the
/// right tail, where 1 − u alone would stop at 16.6. All in fp32.
/// </summary>
internal static unsafe class GumbelNoise
{
    /// <summary>No noise is above this (the largest is −ln 2⁻³³ = 22.874), so a score that far below the best cannot win.</summary>
    public const float Largest = 23;

    /// <summary>Tokens whose words are made at once.</summary>
    public const int Width = 32;

    private const float Scale = 1f / 4294967296f;

    /// <summary>
    /// The words of tokens <paramref name="token"/> … <paramref name="token"/> + 31, from which
    /// <see cref="FromWord"/> makes noise.
    /// </summary>
    /// <param name="token">A multiple of 4.</param>
    public static void Words(ulong key, int stream, int position, int token, uint* words)
    {
        if (!Avx2.IsSupported)
        {
            for (int i = 0; i < Width; i += 8)
                WordsAt(key, stream, position, Vector256.Create(token + i) + Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7)).Store(words + i);
            return;
        }
        // Each 64-bit lane does one counter block; blocks lie in the order 0 2 1 3, so that unpacking yields tokens in sequence.
        Vector256<ulong> blocks = Vector256.Create((ulong)((uint)token >> 2)) + Vector256.Create(0ul, 2, 1, 3);
        Lanes a = Philox4(key, blocks, position, stream), b = Philox4(key, blocks + Vector256.Create(4ul), position, stream);
        Store(a, words);
        Store(b, words + 16);
    }

    private static void Store(Lanes x, uint* words)
    {
        Vector256<uint> low01 = Pair(x.X0, x.X1), low23 = Pair(x.X2, x.X3);
        Avx2.UnpackLow(low01.AsUInt64(), low23.AsUInt64()).AsUInt32().Store(words);
        Avx2.UnpackHigh(low01.AsUInt64(), low23.AsUInt64()).AsUInt32().Store(words + 8);
    }

    /// <summary>The low halves of both, side by side.</summary>
    private static Vector256<uint> Pair(Vector256<ulong> first, Vector256<ulong> second) =>
        Vector256.ConditionalSelect(Vector256.Create(0x00000000_FFFFFFFFul), first, second << 32).AsUInt32();

    /// <summary>
    /// Not less than the noise of a word, and less than 0.1 more where noise is above 3: −ln u is at least −ln E, and the bits
    /// of a float are a lower bound of its binary logarithm, linear between powers of two.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Bound(Vector256<uint> word)
    {
        const float Ln2 = 0.693147181f;
        Vector256<float> log = Vector256.ConvertToSingle(Vector256.ConvertToSingle(word).AsInt32());
        return Vector256.MultiplyAddEstimate(log, Vector256.Create(-Ln2 / (1 << 23)), Vector256.Create((127 + 32) * Ln2 + 1e-3f));
    }

    /// <summary>Noise of eight tokens anywhere, bit for bit what <see cref="Words"/> gives them.</summary>
    public static Vector256<float> At(ulong key, int stream, int position, Vector256<int> tokens) =>
        FromWord(WordsAt(key, stream, position, tokens));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FromWord(Vector256<uint> x)
    {
        Vector256<float> u = (Vector256.ConvertToSingle(x) + Vector256.Create(0.5f)) * Scale;
        Vector256<float> v = (Vector256.ConvertToSingle(~x) + Vector256.Create(0.5f)) * Scale;
        Vector256<float> corrected = VectorMath.Log(v) * (u / (v - Vector256<float>.One));
        return -VectorMath.Log(Vector256.ConditionalSelect(Vector256.Equals(v, Vector256<float>.One), u, corrected));
    }

    private static Vector256<uint> WordsAt(ulong key, int stream, int position, Vector256<int> tokens)
    {
        Vector256<ulong> blocks = (tokens.AsUInt32() >> 2).AsUInt64();   // two to a lane: the upper one is done apart
        Lanes even = Philox4(key, blocks, position, stream), odd = Philox4(key, blocks >> 32, position, stream);
        Vector256<uint> lane = tokens.AsUInt32() & Vector256.Create(3u);
        Vector256<uint> low = Vector256.ConditionalSelect(
            Vector256.Equals(lane, Vector256<uint>.Zero), Pair(even.X0, odd.X0), Pair(even.X1, odd.X1));
        Vector256<uint> high = Vector256.ConditionalSelect(
            Vector256.Equals(lane, Vector256.Create(2u)), Pair(even.X2, odd.X2), Pair(even.X3, odd.X3));
        return Vector256.ConditionalSelect(Vector256.LessThan(lane, Vector256.Create(2u)), low, high);
    }

    /// <summary>
    /// <see cref="Philox.Block"/> for four counters that differ in the first word. Words are the low halves of 64-bit lanes;
    /// the high halves hold rubbish, which the multiplier does not read, so a product serves as its own low word.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Lanes Philox4(ulong key, Vector256<ulong> c0, int position, int stream)
    {
        uint k0 = (uint)key, k1 = (uint)(key >> 32);
        Vector256<ulong> c1 = Vector256.Create((ulong)(uint)position), c2 = Vector256.Create((ulong)(uint)stream);
        Vector256<ulong> c3 = Vector256<ulong>.Zero;
        Vector256<ulong> factor0 = Vector256.Create(0xD2511F53ul), factor1 = Vector256.Create(0xCD9E8D57ul);
        for (int round = 0; round < 10; round++)
        {
            Vector256<ulong> p0 = MultiplyLow(c0, factor0), p1 = MultiplyLow(c2, factor1);
            c0 = (p1 >> 32) ^ c1 ^ Vector256.Create((ulong)k0);
            c1 = p1;
            c2 = (p0 >> 32) ^ c3 ^ Vector256.Create((ulong)k1);
            c3 = p0;
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        return new Lanes(c0, c1, c2, c3);
    }

    /// <summary>Full products of the low halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> MultiplyLow(Vector256<ulong> a, Vector256<ulong> b) =>
        Avx2.IsSupported ? Avx2.Multiply(a.AsUInt32(), b.AsUInt32()) : (a & Vector256.Create(0xFFFFFFFFul)) * b;

    private readonly struct Lanes(Vector256<ulong> x0, Vector256<ulong> x1, Vector256<ulong> x2, Vector256<ulong> x3)
    {
        public readonly Vector256<ulong> X0 = x0, X1 = x1, X2 = x2, X3 = x3;
    }
}
