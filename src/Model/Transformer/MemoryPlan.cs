using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Bytes that a model takes, from the layouts themselves; nothing is allocated.</summary>
public static class MemoryPlan
{
    /// <summary>Weights with matrices of a type.</summary>
    /// <param name="guide">What the head is of, where the model is a guide with a trunk of its own.</param>
    public static long Weights(TransformerConfig config, DType matrices, ValueSettings? guide = null)
    {
        HeadShape head = guide is null ? HeadShape.Language(config) : ValueHead.ShapeOf(guide, config);
        return Arena.Measure(arena => new Weights(config, head, matrices, arena));
    }

    /// <summary>Keys and values of one row.</summary>
    /// <param name="context">Tokens.</param>
    /// <param name="type">The device's for activations: F32 on the CPU, BF16 on CUDA.</param>
    public static long KvCache(TransformerConfig config, int context, DType type) => Arena.Measure(arena => new KvCache(config, 1, context, type, arena));
}
