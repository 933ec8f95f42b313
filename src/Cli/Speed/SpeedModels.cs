using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>Models to measure: a file's, or random weights of a named shape in the device's own type.</summary>
internal static class SpeedModels
{
    /// <summary>In place of a shape: a head on the reference's own hidden states.</summary>
    public const string SharedTrunk = "shared";

    public static LanguageModel Language(Ops ops, string? model, string? shape, ulong seed)
    {
        if (model is null) return Language(ops, Config(shape!), seed);
        using ModelFiles files = ModelFiles.Open(model);
        return files.LoadLanguageModel(ops);
    }

    public static LanguageModel Language(Ops ops, TransformerConfig config, ulong seed) => Filled(new LanguageModel(ops, config), seed);

    /// <summary>A model of one layer, for what is said of its head alone.</summary>
    public static LanguageModel Head(Ops ops, string shape, ulong seed) => Language(ops, Config(shape) with { Layers = 1 }, seed);

    /// <summary>A value model of the V-type with one Bernoulli output.</summary>
    public static ValueModel Value(Ops ops, string shape, ulong seed) =>
        Filled(new ValueModel(ops, Config(shape), new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false)), seed);

    /// <summary>A guide of one Bernoulli output: a V-type value model of a shape, or <see cref="SharedTrunk"/>.</summary>
    public static IGuide Guide(Ops ops, LanguageModel reference, string shape, ulong seed)
    {
        if (shape != SharedTrunk) return Value(ops, shape, seed);
        SharedTrunkGuide guide = new(reference, ReturnFamily.Bernoulli, SharedHeadShape.UsualHidden);
        Initializer.Head(guide.Weights, seed);
        return guide;
    }

    private static T Filled<T>(T model, ulong seed) where T : HeadedModel
    {
        try
        {
            Initializer.Repeating(model.Weights, model.Config, seed);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static TransformerConfig Config(string shape) => ModelShapes.All[shape];
}
