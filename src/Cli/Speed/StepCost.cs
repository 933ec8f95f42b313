using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>The least that a step must read and compute, by the model's own layout.</summary>
internal static class StepCost
{
    /// <summary>
    /// Parameters that each step reads, and their bytes: all but the tables of which a token looks up one row. A tied head reads the
    /// token table whole; a value model has no head of that size.
    /// </summary>
    public static (long Count, long Bytes) Weights(HeadedModel model)
    {
        bool isTied = model.HeadShape.Tied;
        Tensor[] read = [.. model.Weights.Named
            .Where(parameter => parameter.Name != "positions" && (parameter.Name != "tokens" || isTied)).Select(parameter => parameter.Value)];
        return (read.Sum(tensor => tensor.Count), read.Sum(tensor => tensor.Bytes));
    }

    /// <summary>Bytes of the keys and values of one token.</summary>
    public static long KvBytes(HeadedModel model) =>
        2L * model.Config.Layers * model.Config.KvHeads * model.Config.HeadDim * model.ActivationType.Size();

    /// <summary>Bytes of one decoding step: weights once, each row's keys and values once, whatever the number of its siblings.</summary>
    public static long DecodeBytes(HeadedModel model, int rows, int context) => Weights(model).Bytes + (long)rows * context * KvBytes(model);

    /// <summary>Operations of one decoding step: 2·P + 4·L·H·D·S a token.</summary>
    /// <param name="tokens">Of a row: 1, or the number of siblings.</param>
    public static double DecodeFlops(HeadedModel model, int rows, int tokens, int context)
    {
        TransformerConfig c = model.Config;
        return (double)rows * tokens * ((2.0 * Weights(model).Count) + (4.0 * c.Layers * c.Heads * c.HeadDim * context));
    }

    /// <summary>Bytes that a guide adds to a step; of a shared trunk its head, and the embedding of each candidate.</summary>
    /// <param name="candidates">K, of each row.</param>
    public static double GuideBytes(IGuide guide, int rows, int context, int candidates) => guide is SharedTrunkGuide shared
        ? shared.Weights.Named.Sum(parameter => parameter.Value.Bytes) + (double)rows * candidates * shared.Shape.Width * shared.Reference.Weights.Tokens.DType.Size()
        : DecodeBytes((HeadedModel)guide, rows, context);

    /// <summary>Operations that a guide adds to a step.</summary>
    public static double GuideFlops(IGuide guide, int rows, int context, int candidates) => guide is SharedTrunkGuide shared
        ? 2.0 * rows * (shared.ParameterCount + (candidates * shared.Shape.Width))
        : DecodeFlops((HeadedModel)guide, rows, candidates, context);

    /// <summary>Operations of training on a token: 6·P + 12·L·H·D·T, forward and backward, the triangle of causal attention counted as a square.</summary>
    public static double TrainingFlops(HeadedModel model, int time)
    {
        TransformerConfig c = model.Config;
        return (6.0 * Weights(model).Count) + (12.0 * c.Layers * c.Heads * c.HeadDim * time);
    }
}
