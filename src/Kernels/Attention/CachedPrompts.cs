using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// The prompts that the rows of a cache go on from, each held once however many rows read it. Rows of one prompt are best
/// neighbours: CUDA then reads its columns once for all of them. The default stands for a cache without prompts.
/// </summary>
/// <param name="Keys">[Q, P′, G·D].</param>
/// <param name="Values">[Q, P′, G·D].</param>
/// <param name="Lengths">[Q] I32: columns of each prompt.</param>
/// <param name="Of">[R] I32: the prompt of each row.</param>
public readonly record struct CachedPrompts(Tensor Keys, Tensor Values, Tensor Lengths, Tensor Of)
{
    public bool IsNone => Of.IsNone;

    /// <summary>Q.</summary>
    internal int Count => IsNone ? 0 : Keys.Shape.D0;

    /// <summary>P′: columns that a prompt has room for.</summary>
    internal int Capacity => IsNone ? 0 : Keys.Shape.D1;
}
