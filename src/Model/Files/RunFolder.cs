using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What to do with a folder that already holds something.</summary>
public enum ExistingFolder
{
    Refuse,
    Resume,
    Overwrite,
}

/// <summary>
/// The folder of one run: <c>config.json</c> (everything resolved), <c>metrics.jsonl</c>, TensorBoard events, models, data,
/// <c>result.json</c> and pictures. Files appear whole or not at all.
/// </summary>
public sealed class RunFolder
{
    private RunFolder(string path)
    {
        Path = path;
    }

    public string Path { get; }

    public string ConfigPath => File("config.json");

    public string ResultPath => File("result.json");

    public string MetricsPath => File("metrics.jsonl");

    /// <summary>A path inside the folder.</summary>
    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Opens or makes the folder of a run and writes its config, or on resuming compares it.</summary>
    /// <param name="out">Null takes <c>runs/VERB-N</c> with the first free N.</param>
    /// <param name="config">Everything that shapes the run; the verb is added, by which a run's folder is told from a model's.</param>
    /// <exception cref="UserException">
    /// The folder holds something and may not be touched, cannot be written, or holds a run with another config.
    /// </exception>
    public static RunFolder Open(string? @out, string verb, ExistingFolder existing, JsonObject config)
    {
        if (@out is null && existing == ExistingFolder.Resume)
            throw new UserException("--resume: say which run with --out DIR.");
        config["verb"] = verb;
        RunFolder folder = new(@out ?? FirstFree(verb));
        try
        {
            if (System.IO.File.Exists(folder.Path))
                throw new UserException($"--out {folder.Path}: this is a file; give the name of a folder.");
            bool isFilled = Directory.Exists(folder.Path) && Directory.EnumerateFileSystemEntries(folder.Path).Any();
            if (isFilled && existing == ExistingFolder.Refuse)
                throw new UserException($"--out {folder.Path}: this folder is not empty; go on with --resume, replace it with --overwrite, or give another one.");
            if (isFilled && existing == ExistingFolder.Resume && !System.IO.File.Exists(folder.ConfigPath))
                throw new UserException($"--resume: {folder.Path} holds something, but no run (there is no config.json); give the folder that the run was started with.");
            if (isFilled && existing == ExistingFolder.Overwrite) folder.Clear(verb);
            Directory.CreateDirectory(folder.Path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw AtomicFile.Unwritable(folder.Path, failure);
        }
        bool isThere = existing == ExistingFolder.Resume && System.IO.File.Exists(folder.ConfigPath);
        if (isThere) folder.Compare(config);
        else JsonFile.Write(folder.ConfigPath, config);
        return folder;
    }

    /// <summary>Writes a JSON file of the run.</summary>
    public void WriteJson(string name, JsonNode json) => JsonFile.Write(File(name), json);

    /// <summary>Reads a JSON file of the run, or null where it is not there.</summary>
    public JsonObject? ReadJson(string name)
    {
        if (!System.IO.File.Exists(File(name))) return null;
        try
        {
            return JsonFile.Read(File(name));
        }
        catch (Exception failure) when (failure is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{File(name)}: not valid JSON ({failure.Message}); start anew with --overwrite.", failure);
        }
    }

    /// <summary>Only a folder that a run of this verb has made is emptied: its config names the verb, which a model's does not.</summary>
    private void Clear(string verb)
    {
        if (Verb() is not { } old)
            throw new UserException($"--overwrite: {Path} does not look like the folder of a run (its config.json names no verb); remove it yourself, or give another one.");
        if (old != verb)
            throw new UserException($"--overwrite: {Path} holds a run of '{old}', not of '{verb}'; remove it yourself, or give another one.");
        Directory.Delete(Path, recursive: true);
    }

    /// <summary>What the folder's run is of; null where it is none.</summary>
    private string? Verb()
    {
        try
        {
            return System.IO.File.Exists(ConfigPath) ? (string?)JsonFile.Read(ConfigPath)["verb"] : null;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private void Compare(JsonObject config)
    {
        JsonObject old = ReadJson("config.json") ?? [];
        if (old["verb"] is null)
            throw new UserException($"--resume: {Path} is not the folder of a run (its config.json names no verb); give the folder that the run was started with.");
        foreach ((string key, JsonNode? value) in config)
            if (!JsonNode.DeepEquals(old[key], value))
                throw new UserException($"--resume: {Path} was made with {key} = {old[key]?.ToJsonString() ?? "nothing"}, and this call says {value?.ToJsonString()}; resume with the same settings, or start anew in another folder.");
    }

    private static string FirstFree(string verb)
    {
        for (int n = 1; ; n++)
        {
            string path = System.IO.Path.Combine("runs", $"{verb}-{n}");
            if (!Directory.Exists(path) && !System.IO.File.Exists(path)) return path;
        }
    }
}
