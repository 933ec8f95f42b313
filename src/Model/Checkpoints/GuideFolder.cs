using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A guide on disk. With a trunk of its own it is a model folder with a value head (<see cref="ModelFolder"/>); a shared-trunk
/// head is a folder of the same form without the trunk: <c>config.json</c>, and a few megabytes of <c>model.safetensors</c>. What
/// the outputs mean and what the guide was made for stands in the config's <c>qsharp</c> object (<see cref="GuideDescription"/>).
/// </summary>
public static class GuideFolder
{
    private const string SharedType = "qsharp_shared_trunk";

    public static void Save(IGuide guide, string folder, GuideOrigin origin)
    {
        JsonObject own = new GuideDescription(guide.Settings, origin, guide is SharedTrunkGuide, guide.ReferenceLayer).ToJson();
        if (guide is ValueModel model) ModelFolder.Save(model, folder, own);
        else Save((SharedTrunkGuide)guide, folder, own);
    }

    /// <summary>Loads a guide for a reference.</summary>
    /// <param name="task">Fingerprint of the task.</param>
    /// <param name="vocabulary">Ids in use.</param>
    /// <exception cref="UserException">There is no guide, or it was made for another task or reference.</exception>
    public static (IGuide Guide, GuideOrigin Origin) Load(LanguageModel reference, string folder, string task, int vocabulary)
    {
        if (Describe(folder) is { SharesTrunk: true } shared) return LoadShared(reference, folder, shared, task);
        using ModelFiles files = ModelFiles.Open(folder);
        if (!GuideDescription.IsGuide(files.Config))
            throw new UserException($"{folder}: this model has no value head; give a guide made by 'qsharp train'.");
        ModelFolder.RequireTask(files, task, vocabulary);
        GuideDescription description = GuideDescription.Read(files.Config, folder);
        RequireReference(description, folder, reference);
        return (files.Load(reference.Ops.Device, WeightFormat.Auto, description.Settings, type => new ValueModel(reference.Ops, files.Transformer, description.Settings, type)), description.Origin);
    }

    /// <summary>Tells guides apart as <see cref="ModelFolder.Fingerprint(HeadedModel)"/> does models, and by what their outputs mean.</summary>
    public static string Fingerprint(IGuide guide) =>
        $"{guide.Settings} {guide.ReferenceLayer} {(guide is ValueModel model ? ModelFolder.Fingerprint(model) : ModelFolder.Fingerprint(SharedType, ((SharedTrunkGuide)guide).Weights))}";

    /// <summary>What the guide of a folder is; null where there is none.</summary>
    /// <exception cref="UserException">Its config.json is malformed.</exception>
    public static GuideDescription? Describe(string folder)
    {
        string path = Path.Combine(folder, ModelFolder.ConfigName);
        if (!File.Exists(path)) return null;
        JsonObject config = TextFile.Object(path);
        return GuideDescription.IsGuide(config) ? GuideDescription.Read(config, folder) : null;
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

    private static (IGuide, GuideOrigin) LoadShared(LanguageModel reference, string folder, GuideDescription description, string task)
    {
        ConfigJson sizes = new(TextFile.Object(Path.Combine(folder, ModelFolder.ConfigName)), $"{folder}: config.json");
        RequireReference(description, folder, reference);
        GuideOrigin origin = description.Origin;
        if (origin.Task != task) throw new UserException($"{folder}: this guide was trained for {origin.Task}, but this run is {task}; give the guide of this task.");
        int width = sizes.Integer("hidden_size"), hidden = sizes.Integer("intermediate_size");
        if (width != reference.Config.Width || hidden < 1)
            throw new UserException($"{folder}: config.json: hidden_size is {width} and intermediate_size {hidden}, but the reference's width is {reference.Config.Width}; the file may be damaged.");
        if (description.Layer < 0 || description.Layer > reference.Config.Layers)
            throw new UserException($"{folder}: config.json: qsharp.layer is {description.Layer}, but the reference has {reference.Config.Layers} layers; the file may be damaged.");
        SharedTrunkGuide guide = new(reference, description.Settings.Family, hidden, description.Layer) { Settings = description.Settings };
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

    private static void RequireReference(GuideDescription description, string folder, LanguageModel reference)
    {
        if (description.Origin.Reference != ModelFolder.Fingerprint(reference))
            throw new UserException($"{folder}: this guide was trained for another reference; give --model the one it was trained for.");
    }
}
