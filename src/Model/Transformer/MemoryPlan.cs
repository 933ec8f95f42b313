using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Bytes that a model takes, from the layouts themselves; nothing is allocated.</summary>
public static class MemoryPlan
{
    /// <summary>Weights with matrices of a type.</summary>
    public static long Weights(TransformerConfig config, DType matrices) =>
        Arena.Measure(arena => new Weights(config, HeadShape.Language(config), matrices, arena));

    /// <summary>Keys and values of one row.</summary>
    /// <param name="context">Tokens.</param>
    public static long KvCache(TransformerConfig config, int context) => Arena.Measure(arena => new KvCache(config, 1, context, DType.F32, arena));
}
