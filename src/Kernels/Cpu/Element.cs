using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>How a weight is stored: it is read as floats, a vector at a time, and arithmetic is fp32 whatever it is.</summary>
internal unsafe interface IElement<TSelf> where TSelf : unmanaged, IElement<TSelf>
{
    static abstract float Load(TSelf* p);

    static abstract Vector128<float> Load4(TSelf* p);

    static abstract Vector256<float> Load8(TSelf* p);

    static abstract Vector512<float> Load16(TSelf* p);
}

/// <summary><see cref="Engine.DType.F32"/>.</summary>
[StructLayout(LayoutKind.Sequential, Size = sizeof(float))]
internal readonly unsafe struct F32Element : IElement<F32Element>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Load(F32Element* p) => *(float*)p;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load4(F32Element* p) => Vector128.Load((float*)p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(F32Element* p) => Vector256.Load((float*)p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(F32Element* p) => Vector512.Load((float*)p);
}

/// <summary><see cref="Engine.DType.BF16"/>: the upper half of a float, so that widening is exact and costs a shift.</summary>
[StructLayout(LayoutKind.Sequential, Size = sizeof(ushort))]
internal readonly unsafe struct BF16Element : IElement<BF16Element>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Load(BF16Element* p) => BitConverter.Int32BitsToSingle(*(ushort*)p << 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load4(BF16Element* p) =>
        (Vector128.WidenLower(Vector64.Load((ushort*)p).ToVector128Unsafe()) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load8(BF16Element* p) =>
        (Vector256.WidenLower(Vector128.Load((ushort*)p).ToVector256Unsafe()) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(BF16Element* p) =>
        (Vector512.WidenLower(Vector256.Load((ushort*)p).ToVector512Unsafe()) << 16).AsSingle();
}
