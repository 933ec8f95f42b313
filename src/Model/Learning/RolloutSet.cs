using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A folder of roll-outs: <c>dataset.json</c> says for which task and reference, <c>rollouts.bin</c> holds the records of
/// all rounds.
/// </summary>
/// <param name="Task">Fingerprint of the task.</param>
/// <param name="Vocabulary">Rows of the token table of the models that made it.</param>
/// <param name="Reference">Fingerprint of π_ref.</param>
/// <param name="Collection">How the samples were drawn: seed, samples a problem, roll-in, temperature, top-p.</param>
public sealed record RolloutSet(string Task, int Vocabulary, string Reference, JsonObject Collection)
{
    private const string Format = "qsharp-rollouts-1";

    public static string DataPath(string folder) => Path.Combine(folder, "rollouts.bin");

    /// <summary>Where the hidden states lie, if there are any.</summary>
    public static string HiddenPath(string folder) => Path.Combine(folder, "hidden.bin");

    private static string HeaderPath(string folder) => Path.Combine(folder, "dataset.json");

    public static bool Exists(string folder) => File.Exists(HeaderPath(folder));

    /// <summary>Writes the description; the records follow through <see cref="RolloutFile"/>.</summary>
    public void Save(string folder)
    {
        Directory.CreateDirectory(folder);
        JsonObject json = new()
        {
            ["format"] = Format,
            ["task"] = Task,
            ["vocabulary"] = Vocabulary,
            ["reference"] = Reference,
            ["collection"] = Collection.DeepClone(),
        };
        JsonFile.Write(HeaderPath(folder), json);
    }

    /// <exception cref="UserException">There is no data set, or it is damaged.</exception>
    public static RolloutSet Load(string folder)
    {
        string path = HeaderPath(folder);
        if (!File.Exists(path))
            throw new UserException($"{folder}: there is no data set here (dataset.json is missing); make one with 'qsharp collect --out {folder}'.");
        try
        {
            JsonObject json = JsonFile.Read(path);
            if ((string?)json["format"] != Format) throw new JsonException($"its format is not {Format}");
            return new RolloutSet(
                (string?)json["task"] ?? throw new JsonException("task is missing"),
                (int?)json["vocabulary"] ?? throw new JsonException("vocabulary is missing"),
                (string?)json["reference"] ?? throw new JsonException("reference is missing"),
                json["collection"] as JsonObject ?? []);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: this is not the description of a data set ({error.Message}).", error);
        }
    }

    /// <summary>Refuses a data set that was made for another task, vocabulary or reference.</summary>
    public void Require(string folder, ITask task, string reference)
    {
        if (Vocabulary != task.Vocabulary || Task != task.Fingerprint)
            throw new UserException($"{folder}: the data set was made for {Task} with a vocabulary of {Vocabulary}, but this run is {task.Fingerprint} with {task.Vocabulary}; give the data set of this task, or this run the settings of the data set.");
        if (Reference != reference)
            throw new UserException($"{folder}: the data set holds roll-outs of another reference ({Start(Reference)}…, not {Start(reference)}…); give --model the reference that made it, or collect again.");
    }

    /// <summary>The first characters of a fingerprint, which a file may hold cut short.</summary>
    private static string Start(string fingerprint) => fingerprint[..Math.Min(12, fingerprint.Length)];
}
