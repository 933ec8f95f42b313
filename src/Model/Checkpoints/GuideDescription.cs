using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a guide was trained for; it is refused for anything else.</summary>
/// <param name="Task">Fingerprint of the task, which holds the tokenizer where it is a text's.</param>
/// <param name="Reference">Fingerprint of π_ref.</param>
/// <param name="Temperature">At which π_ref wrote the roll-outs.</param>
/// <param name="TopP">At which π_ref wrote the roll-outs.</param>
public sealed record GuideOrigin(string Task, string Reference, float Temperature, float TopP)
{
    /// <summary>Fingerprint of the language model that the guide started from, where it was not π_ref.</summary>
    public string? Initial { get; init; }
}

/// <summary>What a guide is, in its folder's words: the <c>qsharp</c> object of its config.json.</summary>
/// <param name="Layer">Of π_ref, whose states a shared-trunk head reads (<see cref="IGuide.ReferenceLayer"/>).</param>
public sealed record GuideDescription(ValueSettings Settings, GuideOrigin Origin, bool SharesTrunk, int Layer = 0)
{
    private static readonly string[] _targets = ["return", "exponential", "soft-value"];   // as ValueTarget has them

    /// <summary>Whether a folder's config.json is a guide's.</summary>
    public static bool IsGuide(JsonObject config) => config["qsharp"] is JsonObject own && own["head"] is not null;

    public JsonObject ToJson()
    {
        ReturnFamily family = Settings.Family;
        JsonObject json = new()
        {
            ["task"] = Origin.Task,
            ["reference"] = Origin.Reference,
            ["trunk"] = SharesTrunk ? "shared" : "own",
            ["head"] = Settings.Kind == HeadKind.V ? "v" : "q",
            ["head_bias"] = Settings.HasBias,
            ["family"] = family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
            ["min"] = family.Min,
            ["max"] = family.Max,
            ["atoms"] = family.Atoms,
            ["bidirectional_prompt"] = Settings.BidirectionalPrompt,
            ["prompt_value"] = Settings.HasPromptValue,
            ["target"] = _targets[(int)Settings.Target],
            ["temperature"] = Origin.Temperature,
            ["top_p"] = Origin.TopP,
        };
        if (Layer > 0) json["layer"] = Layer;
        if (Settings.Eta is { } eta) json["eta"] = eta;
        if (Origin.Initial is { } initial) json["initial"] = initial;
        return json;
    }

    /// <param name="config">A guide's config.json.</param>
    /// <param name="folder">For messages.</param>
    /// <exception cref="UserException">A key is missing or wrong.</exception>
    public static GuideDescription Read(JsonObject config, string folder)
    {
        ConfigJson own = new((JsonObject)config["qsharp"]!, $"{folder}: config.json: qsharp");
        own.RequireText("trunk", "own", "shared");
        own.RequireText("head", "v", "q");
        own.RequireText("family", "categorical", "bernoulli");
        own.RequireText("target", _targets);
        bool isCategorical = own.Text("family") == "categorical";
        float min = own.Real("min"), max = own.Real("max");
        int atoms = own.Integer("atoms");
        if (!(min < max)) throw new UserException($"{own.Path}.min is {min} and max is {max}; the first must be less.");
        if (isCategorical ? atoms < 2 : atoms != 1)
            throw new UserException($"{own.Path}.atoms is {atoms}; a categorical family has at least 2, Bernoulli 1.");
        ReturnFamily family = new(isCategorical ? FamilyKind.Categorical : FamilyKind.Bernoulli, min, max, atoms);
        ValueTarget target = own.Has("target") ? (ValueTarget)Array.IndexOf(_targets, own.Text("target")) : ValueTarget.Return;
        double? eta = own.PositiveOrNull("eta");
        if (eta is null != (target == ValueTarget.Return))
            throw new UserException($"{own.Path}: target is '{_targets[(int)target]}' and eta {(eta is null ? "is missing" : "is there")}; every target but the return has one.");
        ValueSettings settings = new(own.Text("head") == "v" ? HeadKind.V : HeadKind.Q, family, own.Flag("bidirectional_prompt", false))
        {
            HasBias = own.Flag("head_bias", true),
            HasPromptValue = own.Flag("prompt_value", false),
            Target = target,
            Eta = eta,
        };
        if (settings is { HasPromptValue: true, Kind: HeadKind.Q })
            throw new UserException($"{own.Path}: prompt_value is true and head is 'q', which has no value of a prompt.");
        return new GuideDescription(
            settings,
            new GuideOrigin(own.Text("task"), own.Text("reference"), own.Real("temperature", 1), own.Real("top_p", 1))
            {
                Initial = own.Has("initial") ? own.Text("initial") : null,
            },
            own.Has("trunk") && own.Text("trunk") == "shared",
            own.Integer("layer", 0));
    }
}
