using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a guide was trained for; it is refused for anything else.</summary>
/// <param name="Task">Fingerprint of the task, which holds the tokenizer where it is a text's.</param>
/// <param name="Reference">Fingerprint of π_ref.</param>
/// <param name="Temperature">At which π_ref wrote the roll-outs.</param>
/// <param name="TopP">At which π_ref wrote the roll-outs.</param>
public sealed record GuideOrigin(string Task, string Reference, float Temperature, float TopP);

/// <summary>
/// A guide on disk. With a trunk of its own it is a model folder with a value head (<see cref="ModelFolder"/>); a shared-trunk
/// head is a folder of the same form without the trunk: <c>config.json</c>, and a few megabytes of <c>model.safetensors</c>. What
/// the outputs mean and what the guide was made for stands in the config's <c>qsharp</c> object.
/// </summary>
public static class GuideFolder
{
    private const string SharedType = "qsharp_shared_trunk";

    public static void Save(IGuide guide, string folder, GuideOrigin origin)
    {
        ReturnFamily family = guide.Settings.Family;
        JsonObject own = new()
        {
            ["task"] = origin.Task,
            ["reference"] = origin.Reference,
            ["trunk"] = guide is SharedTrunkGuide ? "shared" : "own",
            ["head"] = guide.Settings.Kind == HeadKind.V ? "v" : "q",
            ["family"] = family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
            ["min"] = family.Min,
            ["max"] = family.Max,
            ["atoms"] = family.Atoms,
            ["bidirectional_prompt"] = guide.Settings.BidirectionalPrompt,
            ["temperature"] = origin.Temperature,
            ["top_p"] = origin.TopP,
        };
        if (guide is ValueModel model) ModelFolder.Save(model, folder, own);
        else Save((SharedTrunkGuide)guide, folder, own);
    }

    /// <summary>Loads a guide for a reference.</summary>
    /// <param name="task">Fingerprint of the task.</param>
    /// <param name="vocabulary">Ids in use.</param>
    /// <exception cref="UserException">There is no guide, or it was made for another task or reference.</exception>
    public static (IGuide Guide, GuideOrigin Origin) Load(LanguageModel reference, string folder, string task, int vocabulary)
    {
        string path = Path.Combine(folder, ModelFolder.ConfigName);
        JsonObject? config = File.Exists(path) ? TextFile.Object(path) : null;
        return config?["qsharp"]?["trunk"] is JsonValue trunk && trunk.TryGetValue(out string? kind) && kind == "shared"
            ? LoadShared(reference, folder, config, task)
            : LoadOwn(reference, folder, task, vocabulary);
    }

    private static (IGuide, GuideOrigin) LoadOwn(LanguageModel reference, string folder, string task, int vocabulary)
    {
        using ModelFiles files = ModelFiles.Open(folder);
        if (files.Own?["head"] is null)
            throw new UserException($"{folder}: this model has no value head; give a guide made by 'qsharp train'.");
        ModelFolder.RequireTask(files, task, vocabulary);
        ConfigJson own = new(files.Own, $"{folder}: config.json: qsharp");
        GuideOrigin origin = Origin(own, folder, reference);
        ValueSettings settings = Settings(own);
        return (files.Load(reference.Ops.Device, WeightFormat.Auto, type => new ValueModel(reference.Ops, files.Transformer, settings, type)), origin);
    }

    private static void Save(SharedTrunkGuide guide, string folder, JsonObject own)
    {
        JsonObject config = new()
        {
            ["model_type"] = SharedType,
            ["hidden_size"] = guide.Shape.Width,
            ["intermediate_size"] = guide.Shape.Hidden,
            ["torch_dtype"] = "float32",
            ["qsharp"] = own,
        };
        AtomicFolder.Write(folder, partial =>
        {
            SafeTensorsWriter.Write(Path.Combine(partial, "model.safetensors"), NativeTensors.Sources(guide.Weights));
            JsonFile.Write(Path.Combine(partial, ModelFolder.ConfigName), config);
        });
    }

    private static (IGuide, GuideOrigin) LoadShared(LanguageModel reference, string folder, JsonObject config, string task)
    {
        ConfigJson sizes = new(config, $"{folder}: config.json"), own = new((JsonObject)config["qsharp"]!, $"{folder}: config.json: qsharp");
        GuideOrigin origin = Origin(own, folder, reference);
        if (origin.Task != task) throw new UserException($"{folder}: this guide was trained for {origin.Task}, but this run is {task}; give the guide of this task.");
        ValueSettings settings = Settings(own);
        int width = sizes.Integer("hidden_size"), hidden = sizes.Integer("intermediate_size");
        if (width != reference.Config.Width || hidden < 1)
            throw new UserException($"{folder}: config.json: hidden_size is {width} and intermediate_size {hidden}, but the reference's width is {reference.Config.Width}; the file may be damaged.");
        SharedTrunkGuide guide = new(reference, settings.Family, hidden);
        try
        {
            using SafeTensorsFile file = SafeTensorsFile.Open(Path.Combine(folder, "model.safetensors"));
            NativeTensors.Load(file, guide.Weights);
            return (guide, origin);
        }
        catch
        {
            guide.Dispose();
            throw;
        }
    }

    private static GuideOrigin Origin(ConfigJson own, string folder, LanguageModel reference)
    {
        GuideOrigin origin = new(own.Text("task"), own.Text("reference"), own.Real("temperature", 1), own.Real("top_p", 1));
        return origin.Reference == ModelFolder.Fingerprint(reference)
            ? origin
            : throw new UserException($"{folder}: this guide was trained for another reference; give --model the one it was trained for.");
    }

    private static ValueSettings Settings(ConfigJson own)
    {
        own.RequireText("head", "v", "q");
        own.RequireText("family", "categorical", "bernoulli");
        bool isCategorical = own.Text("family") == "categorical";
        float min = own.Real("min"), max = own.Real("max");
        int atoms = own.Integer("atoms");
        if (!(min < max)) throw new UserException($"{own.Path}.min is {min} and max is {max}; the first must be less.");
        if (isCategorical ? atoms < 2 : atoms != 1)
            throw new UserException($"{own.Path}.atoms is {atoms}; a categorical family has at least 2, Bernoulli 1.");
        ReturnFamily family = new(isCategorical ? FamilyKind.Categorical : FamilyKind.Bernoulli, min, max, atoms);
        return new ValueSettings(own.Text("head") == "v" ? HeadKind.V : HeadKind.Q, family, own.Flag("bidirectional_prompt", false));
    }
}
