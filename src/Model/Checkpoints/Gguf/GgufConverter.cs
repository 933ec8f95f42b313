using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What a conversion wrote.</summary>
/// <param name="Bytes">Of all files.</param>
public sealed record ConvertedModel(string Path, int Tensors, long Parameters, long Bytes);

/// <summary>
/// Writes the Hugging Face folder that a GGUF file stands for: config, tokenizer and the weights in BF16, whose values are
/// those that this program computes with when it loads the file itself. The same file gives the same bytes.
/// </summary>
public static class GgufConverter
{
    // As the transformers library cuts its files.
    private const long MostShardBytes = 5_000_000_000;

    // In config.json: tells a folder that a conversion made from a downloaded or a trained one, which has the same files.
    private const string ConfigName = "config.json", Mark = "converted_from", MarkValue = "gguf";

    // Floats held at a time.
    private const int PieceElements = 1 << 24;

    /// <summary>Writes the folder, whole or not at all.</summary>
    /// <param name="overwrite">Replaces what an earlier conversion left there.</param>
    /// <exception cref="UserException">
    /// The folder holds something and may not be replaced, cannot be written, or the file holds what cannot be read.
    /// </exception>
    public static ConvertedModel Write(GgufCheckpoint model, string folder, bool overwrite = false) =>
        Write(model, folder, overwrite, new SilentProgress(), CancellationToken.None);

    /// <inheritdoc cref="Write(GgufCheckpoint, string, bool)"/>
    /// <param name="mostShardBytes">Of weights in one file.</param>
    public static ConvertedModel Write(
        GgufCheckpoint model, string folder, bool overwrite, IProgressSink progress, CancellationToken stop, long mostShardBytes = MostShardBytes)
    {
        RequireFree(folder, overwrite);
        // All that can be refused is refused before gigabytes are written.
        ModelFamily.ReadConfig(model.Config, model.Path);
        model.RequireReadable();
        (string Name, JsonObject Json)[] documents =
        [
            (ConfigName, Marked(model.Config)), ("generation_config.json", model.GenerationConfig),
            (TokenizerLoader.FileName, model.TokenizerJson), ("tokenizer_config.json", model.TokenizerConfig),
        ];
        long parameters = model.Tensors.Sum(tensor => tensor.Count), written = 0;
        progress.Start("convert", parameters);
        AtomicFolder.Write(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)), partial =>
        {
            SafeTensorsFolder.Write(partial, model.Tensors.Select(Source), new Dictionary<string, string> { ["format"] = "pt" }, mostShardBytes);
            foreach ((string name, JsonObject json) in documents) JsonFile.Write(Path.Combine(partial, name), json);
        });
        long bytes = Directory.EnumerateFiles(folder).Sum(file => new FileInfo(file).Length);
        progress.Finish(string.Create(CultureInfo.InvariantCulture, $"{model.Tensors.Count} tensors, {bytes:N0} bytes"));
        return new ConvertedModel(folder, model.Tensors.Count, parameters, bytes);

        SafeTensorsSource Source(TensorEntry tensor) => new(tensor.Name, "BF16", tensor.Shape, stream => Copy(tensor, stream));

        void Copy(TensorEntry tensor, Stream stream)
        {
            long row = tensor.Shape[^1], piece = Math.Max(1, PieceElements / row) * row;
            float[] values = GC.AllocateUninitializedArray<float>(checked((int)Math.Min(piece, tensor.Count)));
            for (long first = 0; first < tensor.Count; first += piece)
            {
                stop.ThrowIfCancellationRequested();
                Span<float> part = values.AsSpan(0, (int)Math.Min(piece, tensor.Count - first));
                model.CopyTo(tensor.Name, first, part);
                SafeTensorsFloats.Write(stream, part, "BF16");
                progress.Report(written += part.Length, []);
            }
        }
    }

    private static JsonObject Marked(JsonObject config)
    {
        JsonObject marked = config.DeepClone().AsObject();
        marked[Mark] = MarkValue;
        return marked;
    }

    /// <summary>A folder that holds anything is replaced only when asked for, and only if a conversion has made it and all in it.</summary>
    private static void RequireFree(string folder, bool overwrite)
    {
        if (File.Exists(folder)) throw new UserException($"{folder}: this is a file; give the name of a folder.");
        if (!Directory.Exists(folder)) return;
        string[] names = [.. Directory.EnumerateFileSystemEntries(folder).Select(entry => Path.GetFileName(entry)).Order(StringComparer.Ordinal)];
        if (names.Length == 0) return;
        if (!overwrite) throw new UserException($"{folder}: this folder is not empty; replace it with --overwrite, or give another one.");
        if (names.FirstOrDefault(name => !IsOwn(name) || !File.Exists(Path.Combine(folder, name))) is { } other)
            throw new UserException($"--overwrite: {folder} holds {SafeTensorsText.Quote(other)}, which is no part of a converted model; move it away, or give another folder.");
        if (!IsConverted(Path.Combine(folder, ConfigName)))
            throw new UserException($"--overwrite: {folder} was not made by 'qsharp convert' (its {ConfigName} does not say so); "
                + "remove it yourself, or give another folder.");
    }

    private static bool IsConverted(string config)
    {
        try
        {
            return File.Exists(config)
                && JsonFile.Read(config)[Mark] is JsonValue mark && mark.TryGetValue(out string? value) && value == MarkValue;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool IsOwn(string name) =>
        name is ConfigName or "generation_config.json" or TokenizerLoader.FileName or "tokenizer_config.json"
        || SafeTensorsFolder.IsOwnName(name);
}
