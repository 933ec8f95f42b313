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

    /// <summary>The one η that it decodes at, where it holds soft values (<see cref="ValueMethod.IsSoftBellman"/>); else null.</summary>
    public double? SoftEta { get; init; }

    /// <summary>Refuses a way of decoding that the guide was not made for.</summary>
    /// <param name="folder">Of the guide.</param>
    /// <exception cref="UserException">It is a guide of soft values and the method or an η is another, or the other way round.</exception>
    public void Require(string folder, ValueMethod method, IEnumerable<double> etas)
    {
        if (SoftEta is { } only && (!method.IsSoftBellman || etas.Any(eta => eta != only)))
            throw new UserException(FormattableString.Invariant($"{folder}: this guide was trained by qsharp-td at η = {only} and decodes so alone; say qsharp-td and --eta {only}."));
        if (SoftEta is null && method.IsSoftBellman)
            throw new UserException($"{folder}: this guide holds the law of the return and not soft values; {method.Name} decodes from a guide that 'qsharp train --method {method.Name}' has made.");
    }
}

/// <summary>What a guide is, in its folder's words: the <c>qsharp</c> object of its config.json.</summary>
/// <param name="Layer">Of π_ref, whose states a shared-trunk head reads (<see cref="IGuide.ReferenceLayer"/>).</param>
public sealed record GuideDescription(ValueSettings Settings, GuideOrigin Origin, bool SharesTrunk, int Layer = 0)
{
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
            ["temperature"] = Origin.Temperature,
            ["top_p"] = Origin.TopP,
        };
        if (Layer > 0) json["layer"] = Layer;
        if (Settings.Eta is { } eta) json["eta"] = eta;
        if (Origin.SoftEta is { } soft) json["soft_eta"] = soft;
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
        bool isCategorical = own.Text("family") == "categorical";
        float min = own.Real("min"), max = own.Real("max");
        int atoms = own.Integer("atoms");
        if (!(min < max)) throw new UserException($"{own.Path}.min is {min} and max is {max}; the first must be less.");
        if (isCategorical ? atoms < 2 : atoms != 1)
            throw new UserException($"{own.Path}.atoms is {atoms}; a categorical family has at least 2, Bernoulli 1.");
        ReturnFamily family = new(isCategorical ? FamilyKind.Categorical : FamilyKind.Bernoulli, min, max, atoms);
        float? eta = own.Has("eta") ? own.Real("eta") : null;
        if (eta <= 0) throw new UserException($"{own.Path}.eta is {eta}; it must be above 0.");
        return new GuideDescription(
            new ValueSettings(own.Text("head") == "v" ? HeadKind.V : HeadKind.Q, family, own.Flag("bidirectional_prompt", false)) { HasBias = own.Flag("head_bias", true), Eta = eta },
            new GuideOrigin(own.Text("task"), own.Text("reference"), own.Real("temperature", 1), own.Real("top_p", 1))
            {
                Initial = own.Has("initial") ? own.Text("initial") : null,
                SoftEta = own.PositiveOrNull("soft_eta"),
            },
            own.Has("trunk") && own.Text("trunk") == "shared",
            own.Integer("layer", 0));
    }
}
