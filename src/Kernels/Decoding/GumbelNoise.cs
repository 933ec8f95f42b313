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

    /// <summary>Tokens that <see cref="Fill"/> makes at once.</summary>
    public const int Width = 32;

    private const float Scale = 1f / 4294967296f;

    /// <summary>Noise of tokens <paramref name="token"/> … <paramref name="token"/> + 31.</summary>
    /// <param name="token">A multiple of 4.</param>
    public static void Fill(ulong key, int stream, int position, int token, float* noise)
    {
        if (!Avx2.IsSupported)
        {
            for (int i = 0; i < Width; i += 8)
                At(key, stream, position, Vector256.Create(token + i) + Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7)).Store(noise + i);
            return;
        }
        // Lane j does counter block order[j]; this order makes plain unpacking yield tokens in sequence.
        Vector256<uint> blocks = Vector256.Create((uint)token >> 2) + Vector256.Create(0u, 2, 4, 6, 1, 3, 5, 7);
        Words words = Philox8(key, blocks, position, stream);
        Vector256<ulong> low01 = Avx2.UnpackLow(words.X0, words.X1).AsUInt64(), low23 = Avx2.UnpackLow(words.X2, words.X3).AsUInt64();
        Vector256<ulong> high01 = Avx2.UnpackHigh(words.X0, words.X1).AsUInt64(), high23 = Avx2.UnpackHigh(words.X2, words.X3).AsUInt64();
        FromWord(Avx2.UnpackLow(low01, low23).AsUInt32()).Store(noise);
        FromWord(Avx2.UnpackHigh(low01, low23).AsUInt32()).Store(noise + 8);
        FromWord(Avx2.UnpackLow(high01, high23).AsUInt32()).Store(noise + 16);
        FromWord(Avx2.UnpackHigh(high01, high23).AsUInt32()).Store(noise + 24);
    }

    /// <summary>Noise of eight tokens anywhere, bit for bit what <see cref="Fill"/> gives them.</summary>
    public static Vector256<float> At(ulong key, int stream, int position, Vector256<int> tokens)
    {
        Words words = Philox8(key, tokens.AsUInt32() >> 2, position, stream);
        Vector256<uint> lane = tokens.AsUInt32() & Vector256.Create(3u);
        Vector256<uint> low = Vector256.ConditionalSelect(Vector256.Equals(lane, Vector256<uint>.Zero), words.X0, words.X1);
        Vector256<uint> high = Vector256.ConditionalSelect(Vector256.Equals(lane, Vector256.Create(2u)), words.X2, words.X3);
        return FromWord(Vector256.ConditionalSelect(Vector256.LessThan(lane, Vector256.Create(2u)), low, high));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FromWord(Vector256<uint> x)
    {
        Vector256<float> u = (Vector256.ConvertToSingle(x) + Vector256.Create(0.5f)) * Scale;
        Vector256<float> v = (Vector256.ConvertToSingle(~x) + Vector256.Create(0.5f)) * Scale;
        Vector256<float> corrected = VectorMath.Log(v) * (u / (v - Vector256<float>.One));
        return -VectorMath.Log(Vector256.ConditionalSelect(Vector256.Equals(v, Vector256<float>.One), u, corrected));
    }

    /// <summary><see cref="Philox.Block"/> in eight lanes that differ in the first counter word.</summary>
    private static Words Philox8(ulong key, Vector256<uint> c0, int position, int stream)
    {
        Vector256<uint> k0 = Vector256.Create((uint)key), k1 = Vector256.Create((uint)(key >> 32));
        Vector256<uint> c1 = Vector256.Create((uint)position), c2 = Vector256.Create((uint)stream), c3 = Vector256<uint>.Zero;
        for (int round = 0; round < 10; round++)
        {
            Multiply(c0, 0xD2511F53, out Vector256<uint> high0, out Vector256<uint> low0);
            Multiply(c2, 0xCD9E8D57, out Vector256<uint> high1, out Vector256<uint> low1);
            c0 = high1 ^ c1 ^ k0;
            c1 = low1;
            c2 = high0 ^ c3 ^ k1;
            c3 = low0;
            k0 += Vector256.Create(0x9E3779B9);
            k1 += Vector256.Create(0xBB67AE85);
        }
        return new Words(c0, c1, c2, c3);
    }

    /// <summary>Both halves of eight products of 32 by 32 bits: the multiplier takes even lanes, so odd ones go separately.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(Vector256<uint> a, uint by, out Vector256<uint> high, out Vector256<uint> low)
    {
        Vector256<ulong> factor = Vector256.Create((ulong)by);
        Vector256<ulong> even = MultiplyEven(a.AsUInt64(), factor), odd = MultiplyEven(a.AsUInt64() >> 32, factor);
        Vector256<ulong> upper = Vector256.Create(0xFFFFFFFF_00000000);
        high = Vector256.ConditionalSelect(upper, odd, even >> 32).AsUInt32();
        low = Vector256.ConditionalSelect(upper, odd << 32, even).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> MultiplyEven(Vector256<ulong> a, Vector256<ulong> b) =>
        Avx2.IsSupported ? Avx2.Multiply(a.AsUInt32(), b.AsUInt32()) : (a & Vector256.Create(0xFFFFFFFFul)) * b;

    private readonly struct Words(Vector256<uint> x0, Vector256<uint> x1, Vector256<uint> x2, Vector256<uint> x3)
    {
        public readonly Vector256<uint> X0 = x0, X1 = x1, X2 = x2, X3 = x3;
    }
}
