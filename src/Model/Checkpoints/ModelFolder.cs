using System.Security.Cryptography;
using System.Text;
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
    internal const string ConfigName = "config.json";
    private const int HashedBlock = 1 << 16, HashedBlocks = 16;

    /// <summary>Whether a complete model is there.</summary>
    public static bool Exists(string folder) => File.Exists(Path.Combine(folder, ConfigName));

    /// <summary>Writes a reference or policy.</summary>
    /// <param name="task">Fingerprint of the task it was trained on.</param>
    /// <param name="text">What makes text of its tokens; may be none.</param>
    public static void Save(LanguageModel model, string folder, string task, IReadOnlyList<TextDocument>? text = null) =>
        Save(model, folder, new JsonObject { ["task"] = task }, text);

    /// <summary>Loads a reference or policy for a task.</summary>
    /// <exception cref="UserException">The folder holds no such model, or it was made for another task.</exception>
    public static LanguageModel LoadLanguageModel(Ops ops, string folder, ITask task)
    {
        using ModelFiles files = ModelFiles.Open(folder);
        return LoadLanguageModel(ops, files, task, WeightFormat.Auto);
    }

    /// <inheritdoc cref="LoadLanguageModel(Ops, string, ITask)"/>
    public static LanguageModel LoadLanguageModel(Ops ops, ModelFiles files, ITask task, WeightFormat format)
    {
        if (files.Own is null && !task.IsText)
            throw new UserException($"{files.Path}: config.json has no 'qsharp' object; star-graph models are made by 'qsharp pretrain --task star-graph'.");
        RequireTask(files, task.Fingerprint, task.Vocabulary);
        return files.LoadLanguageModel(ops, format);
    }

    /// <summary>
    /// SHA-256 over a model's config and its weights as BF16 has them, in hexadecimal: what guides and data sets are bound
    /// to. So a model has one fingerprint in every format that it is stored in. Of a matrix of more than a million
    /// entries, 16 blocks are read: billions of weights are told apart without reading all of them.
    /// </summary>
    public static string Fingerprint(HeadedModel model) => Fingerprint(ModelFamily.Of(model.Config).Write(model.Config).ToJsonString(), model.Weights);

    /// <summary>The same of any parameters.</summary>
    /// <param name="config">What they are for.</param>
    internal static string Fingerprint(string config, Parameters weights)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(config));
        foreach ((string name, Tensor value, _) in weights.Named)
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {value.Shape}"));
            Tensor flat = value.As(checked((int)value.Count));
            if (flat.Count <= HashedBlock * HashedBlocks)
            {
                AppendRounded(hash, flat);
                continue;
            }
            for (int block = 0; block < HashedBlocks; block++)
                AppendRounded(hash, flat.Range((int)((flat.Count - HashedBlock) * block / (HashedBlocks - 1)), HashedBlock));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void AppendRounded(IncrementalHash hash, Tensor values)
    {
        ushort[] halves = new ushort[values.Count];
        BFloat16.Round(TensorValues.Read(values), halves);
        hash.AppendData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<ushort>(halves));
    }

    internal static void Save(HeadedModel model, string folder, JsonObject own, IReadOnlyList<TextDocument>? text = null)
    {
        JsonObject config = ModelFamily.Of(model.Config).Write(model.Config);
        config["torch_dtype"] = "float32";
        config["qsharp"] = own;
        AtomicFolder.Write(folder, partial =>
        {
            SafeTensorsFolder.Write(partial, ModelTensors.Export(model), new Dictionary<string, string> { ["format"] = "pt" });
            foreach (TextDocument document in text ?? []) AtomicFile.Write(Path.Combine(partial, document.Name), stream => stream.Write(document.Content));
            JsonFile.Write(Path.Combine(partial, ConfigName), config);
        });
    }

    /// <summary>A model of text fits every task on text with its tokenizer; another one says what it was trained on.</summary>
    internal static void RequireTask(ModelFiles files, string task, int vocabulary)
    {
        string made = files.Own is { } own ? new ConfigJson(own, $"{files.Path}: config.json: qsharp").Text("task") : task;
        if (made == task && files.Transformer.Vocab >= vocabulary) return;
        throw new UserException(
            $"{files.Path}: this model was trained for {made} with a vocabulary of {files.Transformer.Vocab}, but this run is {task} with {vocabulary}; give the model of this task.");
    }
}
