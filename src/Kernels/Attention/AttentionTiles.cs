using System.Numerics;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>The sizes that kernels-cu/attention.cuh is compiled for and its launchers must know: how tiles lie in shared memory.</summary>
internal readonly record struct AttentionTiles(DType Type, int HeadDim)
{
    /// <summary>Query rows, or keys in the gradient of keys, of one warp.</summary>
    public const int WarpRows = 16;

    /// <summary>Warps of a full block.</summary>
    public int MostWarps => Type == DType.BF16 ? 4 : 2;

    /// <summary>The head size that tiles are padded to.</summary>
    public int Padded => Math.Max(16, (int)BitOperations.RoundUpToPowerOf2((uint)HeadDim));

    /// <summary>Keys that are in shared memory at a time.</summary>
    public int Step => (Type, Padded > 128) switch { (DType.F32, true) => 8, (DType.F32, false) or (_, true) => 16, _ => 64 };

    /// <summary>The same in backward: keys, or query rows.</summary>
    public int BackStep => Type == DType.BF16 ? 32 : Padded > 64 ? 8 : 16;

    /// <summary>The definitions that the kernels are compiled with.</summary>
    public string Variant => (Type, Padded) switch
    {
        (DType.BF16, 16) => "T=bf16 D=16",
        (DType.BF16, 32) => "T=bf16 D=32",
        (DType.BF16, 64) => "T=bf16 D=64",
        (DType.BF16, 128) => "T=bf16 D=128",
        (DType.BF16, 256) => "T=bf16 D=256",
        (_, 16) => "T=float D=16",
        (_, 32) => "T=float D=32",
        (_, 64) => "T=float D=64",
        (_, 128) => "T=float D=128",
        _ => "T=float D=256",
    };

    /// <summary>Bytes of this many rows of a tile, with the 16 that keep rows apart.</summary>
    public int Bytes(int rows) => rows * (Padded * Type.Size() + 16);

    /// <summary>Fails for heads that the kernels are not compiled for.</summary>
    public AttentionTiles Within(int most, string use) => HeadDim <= most ? this
        : throw new UserException(
            $"On CUDA, {use} takes heads of up to {most} components, but this model's have {HeadDim}; use --device cpu.");
}
