using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A model as a Hugging Face folder: <c>config.json</c> and <c>model.safetensors</c>, under the names and layouts of the
/// transformers library. What is QSharp's own (task, value head) stands in the config's <c>qsharp</c> object.
/// </summary>
public static class ModelFolder
{
    private const string ConfigName = "config.json";

    /// <summary>Whether a complete model is there.</summary>
    public static bool Exists(string folder) => File.Exists(Path.Combine(folder, ConfigName));

    /// <summary>Writes a reference or policy.</summary>
    /// <param name="task">Fingerprint of the task it was trained on.</param>
    public static void Save(LanguageModel model, string folder, string task)
    {
        JsonObject config = Gpt2Names.Config(model.Config, "GPT2LMHeadModel");
        config["qsharp"] = new JsonObject { ["task"] = task };
        Save(model, folder, config);
    }

    /// <summary>Writes a guide.</summary>
    /// <param name="reference">Fingerprint of π_ref.</param>
    public static void Save(ValueModel model, string folder, string task, string reference)
    {
        JsonObject config = Gpt2Names.Config(model.Config, "GPT2Model");
        ReturnFamily family = model.Settings.Family;
        config["qsharp"] = new JsonObject
        {
            ["task"] = task,
            ["reference"] = reference,
            ["head"] = model.Settings.Kind == HeadKind.V ? "v" : "q",
            ["family"] = family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
            ["min"] = family.Min,
            ["max"] = family.Max,
            ["atoms"] = family.Atoms,
            ["bidirectional_prompt"] = model.Settings.BidirectionalPrompt,
            ["temperature"] = 1.0,
            ["top_p"] = 1.0,
        };
        Save(model, folder, config);
    }

    /// <summary>Loads a reference or policy.</summary>
    /// <param name="task">The task it must have been trained on.</param>
    /// <exception cref="UserException">The folder holds no such model.</exception>
    public static LanguageModel LoadLanguageModel(Ops ops, string folder, ITask task)
    {
        JsonObject json = ReadConfig(folder);
        JsonObject own = Own(json, folder);
        if (own["head"] is not null)
            throw new UserException($"{folder}: this is a guide, not a reference; give it as --guide and a reference as --model.");
        TransformerConfig config = Gpt2Names.Config(json, Path.Combine(folder, ConfigName));
        RequireTask(folder, own, config, task);
        LanguageModel model = new(ops, config);
        LoadWeights(model, folder);
        return model;
    }

    /// <summary>Loads a guide for a reference.</summary>
    /// <param name="reference">Fingerprint of the reference that it is to steer.</param>
    public static ValueModel LoadValueModel(Ops ops, string folder, ITask task, string reference)
    {
        JsonObject json = ReadConfig(folder);
        JsonObject own = Own(json, folder);
        if (own["head"] is null)
            throw new UserException($"{folder}: this model has no value head; give a guide made by 'qsharp train'.");
        TransformerConfig config = Gpt2Names.Config(json, Path.Combine(folder, ConfigName));
        RequireTask(folder, own, config, task);
        if (Text(own, "reference", folder) != reference)
            throw new UserException($"{folder}: this guide was trained for another reference; give --model the one it was trained for.");
        ValueSettings settings = Settings(own, folder);
        ValueModel model = new(ops, config, settings);
        LoadWeights(model, folder);
        return model;
    }

    /// <summary>SHA-256 over a model's config and weights, in hexadecimal: what guides and data sets are bound to.</summary>
    public static string Fingerprint(HeadedModel model)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(Gpt2Names.Config(model.Config, "").ToJsonString()));
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            float[] values = new float[value.Count];
            model.Ops.Device.Download<float>(value, values);
            hash.AppendData(Encoding.UTF8.GetBytes(name));
            hash.AppendData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Save(HeadedModel model, string folder, JsonObject config) => AtomicFolder.Write(folder, partial =>
    {
        SafeTensorsWriter.Write(
            Path.Combine(partial, SafeTensorsFolder.SingleName), Gpt2Names.Export(model), new Dictionary<string, string> { ["format"] = "pt" });
        JsonFile.Write(Path.Combine(partial, ConfigName), config);
    });

    private static JsonObject ReadConfig(string folder)
    {
        string path = Path.Combine(folder, ConfigName);
        if (!Directory.Exists(folder)) throw new UserException($"{folder}: there is no such folder; give the folder of a model.");
        if (!File.Exists(path)) throw new UserException($"{folder}: there is no config.json here, so this is not a model folder.");
        try
        {
            return JsonFile.Read(path);
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: not valid JSON ({error.Message}).", error);
        }
    }

    private static JsonObject Own(JsonObject config, string folder) => config["qsharp"] as JsonObject
        ?? throw new UserException($"{folder}: config.json has no 'qsharp' object; star-graph models are made by 'qsharp pretrain --task star-graph'.");

    private static string Text(JsonObject json, string key, string folder) =>
        json[key] is JsonValue value && value.TryGetValue(out string? text) ? text
            : throw new UserException($"{folder}: config.json: qsharp.{key} is missing or not a text.");

    private static float Number(JsonObject json, string key, string folder) =>
        json[key] is JsonValue value && value.TryGetValue(out float number) ? number
            : throw new UserException($"{folder}: config.json: qsharp.{key} is missing or not a number.");

    private static ValueSettings Settings(JsonObject own, string folder)
    {
        bool isCategorical = OneOf(own, "family", "categorical", "bernoulli", folder);
        float min = Number(own, "min", folder), max = Number(own, "max", folder), atoms = Number(own, "atoms", folder);
        if (!(min < max))
            throw new UserException($"{folder}: config.json: qsharp.min is {min} and max is {max}; the first must be less.");
        if (atoms != (int)atoms || (isCategorical ? atoms < 2 : atoms != 1))
            throw new UserException($"{folder}: config.json: qsharp.atoms is {atoms}; a categorical family has at least 2, Bernoulli 1.");
        bool isBidirectional = own["bidirectional_prompt"] switch
        {
            null => false,
            JsonValue value when value.TryGetValue(out bool flag) => flag,
            _ => throw new UserException($"{folder}: config.json: qsharp.bidirectional_prompt is neither true nor false."),
        };
        ReturnFamily family = new(isCategorical ? FamilyKind.Categorical : FamilyKind.Bernoulli, min, max, (int)atoms);
        return new ValueSettings(OneOf(own, "head", "v", "q", folder) ? HeadKind.V : HeadKind.Q, family, isBidirectional);
    }

    /// <summary>Whether a text is the first of the two that it may be.</summary>
    private static bool OneOf(JsonObject json, string key, string first, string second, string folder)
    {
        string text = Text(json, key, folder);
        if (text != first && text != second)
            throw new UserException($"{folder}: config.json: qsharp.{key} is '{text}'; it must be {first} or {second}.");
        return text == first;
    }

    private static void RequireTask(string folder, JsonObject own, TransformerConfig config, ITask task)
    {
        string made = Text(own, "task", folder);
        if (made != task.Fingerprint || config.Vocab != task.Vocabulary)
            throw new UserException($"{folder}: this model was trained for {made} with a vocabulary of {config.Vocab}, but this run is {task.Fingerprint} with {task.Vocabulary}; give the model of this task.");
    }

    private static void LoadWeights(HeadedModel model, string folder)
    {
        using SafeTensorsFolder tensors = SafeTensorsFolder.Open(folder);
        Gpt2Names.Import(tensors, model);
    }
}
