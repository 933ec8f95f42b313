using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A folder of roll-outs: <c>dataset.json</c> says for which task and reference, <c>rollouts.bin</c> holds the records of
/// all rounds. Each shard has files of its own, such as <c>dataset-1-of-2.json</c>.
/// </summary>
/// <param name="Task">Fingerprint of the task.</param>
/// <param name="Vocabulary">Rows of the token table of the models that made it.</param>
/// <param name="Reference">Fingerprint of π_ref.</param>
/// <param name="Collection">How the samples were drawn, the same in all rounds: origin of the problems, seed, samples a problem, temperature, top-p.</param>
public sealed record RolloutSet(string Task, int Vocabulary, string Reference, JsonObject Collection)
{
    /// <summary>By the number of a round, how it rolls in; of a shard also how many roll-outs the whole set has when it is done, which its own do not tell.</summary>
    public JsonObject Rounds { get; init; } = [];

    private const string Format = "qsharp-rollouts-1", HeaderName = "dataset", TotalKey = "total";

    public static string DataPath(string folder, Shard? shard = null) => Path.Combine(folder, $"rollouts{shard?.Suffix}.bin");

    /// <summary>Where the hidden states lie, if there are any.</summary>
    public static string HiddenPath(string folder, Shard? shard = null) => Path.Combine(folder, $"hidden{shard?.Suffix}.bin");

    /// <summary>Where the success counts of all prompts lie.</summary>
    public static string CountsPath(string folder, Shard? shard = null) => Path.Combine(folder, $"prompts{shard?.Suffix}.json");

    private static string HeaderPath(string folder, Shard? shard = null) => Path.Combine(folder, $"{HeaderName}{shard?.Suffix}.json");

    public static bool Exists(string folder, Shard? shard = null) => File.Exists(HeaderPath(folder, shard));

    /// <summary>The shards that a folder holds, in order; the whole is one.</summary>
    /// <exception cref="UserException">There is no data set, or its shards do not belong together.</exception>
    public static (RolloutSet Set, Shard[] Shards) Open(string folder)
    {
        Shard[] shards = ShardsIn(folder);
        if (shards.Length == 0) return (Load(folder), [Shard.Whole]);   // says what is missing
        RolloutSet set = Load(folder, shards[0]);
        foreach (Shard shard in shards[1..])
        {
            if (shard.Count != shards[0].Count)
                throw new UserException($"{folder}: shards of {shards[0].Count} and of {shard.Count} lie here together; keep those of one data set.");
            RolloutSet other = Load(folder, shard);
            string? difference = other.Task != set.Task || other.Vocabulary != set.Vocabulary ? "another task"
                : other.Reference != set.Reference ? "another reference"
                : !JsonNode.DeepEquals(other.Collection, set.Collection) ? $"other settings ({other.Collection.ToJsonString()}, not {set.Collection.ToJsonString()})" : null;
            if (difference is not null)
                throw new UserException($"{folder}: shard {shard.Index + 1} of {shard.Count} was collected with {difference} than shard {shards[0].Index + 1}; keep those that belong together.");
        }
        return (set, shards);
    }

    /// <summary>Refuses to put a shard beside those of another number of shards, or beside a whole data set, which could not be read together.</summary>
    public static void RequireRoom(string folder, Shard shard)
    {
        foreach (Shard other in ShardsIn(folder))
            if (other.Count != shard.Count)
                throw new UserException($"--out {folder}: {(other.IsWhole ? "a data set without shards" : $"one of {other.Count} shards")} lies here already; go on with that one, or give another folder.");
    }

    private static Shard[] ShardsIn(string folder) => !Directory.Exists(folder) ? [] :
    [
        .. Directory.EnumerateFiles(folder, HeaderName + "*.json")
            .Select(path => Shard.OfSuffix(Path.GetFileNameWithoutExtension(path)[HeaderName.Length..])).OfType<Shard>().OrderBy(shard => shard.Index),
    ];

    /// <summary>Roll-outs of the whole data set when a round has added its own to those of the rounds before.</summary>
    /// <param name="shard">The part that is at hand; the others may lie elsewhere.</param>
    /// <exception cref="UserException">Samples of a later round have the numbers that this one's would get, or the shard does not say how many there were before.</exception>
    public static long TotalAfter(string folder, Shard shard, int round, long rollouts, int samplesPerProblem)
    {
        if (!Exists(folder, shard)) return rollouts;
        List<Rollout> there = File.Exists(DataPath(folder, shard)) ? RolloutFile.Read(DataPath(folder, shard)) : [];
        long total = rollouts + (shard.IsWhole ? there.Count(rollout => rollout.Round < round) : Load(folder, shard).TotalBefore(folder, round));
        if (there.Exists(rollout => rollout.Round > round) && there.Count(rollout => rollout.Round <= round) < shard.Samples(total, samplesPerProblem))
            throw new UserException($"{folder}: round {round} can no longer grow, for the samples of a later round follow on its own; extend the last round, or collect into another folder.");
        return total;
    }

    private long TotalBefore(string folder, int round)
    {
        int last = Rounds.Select(each => int.TryParse(each.Key, CultureInfo.InvariantCulture, out int number) && number < round ? number : 0).DefaultIfEmpty(0).Max();
        return last == 0 ? 0 : (long?)Rounds[Key(last)]?[TotalKey]
            ?? throw new UserException($"{folder}: this shard does not say how many roll-outs the whole data set has after round {last}; run 'qsharp collect' of that round once more, with --resume.");
    }

    private static string Key(int round) => round.ToString(CultureInfo.InvariantCulture);

    /// <summary>Begins a round, or goes on with it.</summary>
    /// <param name="rollIn">How it rolls in.</param>
    /// <param name="total">Of a shard: roll-outs of the whole set when the round is done.</param>
    /// <exception cref="UserException">It was begun otherwise.</exception>
    public void Begin(string folder, Shard shard, int round, JsonObject rollIn, long total)
    {
        string number = Key(round);
        JsonObject? begun = Rounds[number]?.DeepClone().AsObject();
        long before = (long?)begun?[TotalKey] ?? 0;
        begun?.Remove(TotalKey);
        if (begun is not null && !JsonNode.DeepEquals(begun, rollIn))
            throw new UserException($"{folder}: round {number} was begun with other settings of its roll-in ({begun.ToJsonString()}, not {rollIn.ToJsonString()}); use the same, or another folder.");
        Rounds[number] = rollIn;
        if (!shard.IsWhole) rollIn[TotalKey] = Math.Max(before, total);
    }

    /// <summary>Writes the description; the records follow through <see cref="RolloutFile"/>.</summary>
    public void Save(string folder, Shard? shard = null)
    {
        Directory.CreateDirectory(folder);
        JsonObject json = new()
        {
            ["format"] = Format,
            ["task"] = Task,
            ["vocabulary"] = Vocabulary,
            ["reference"] = Reference,
            ["collection"] = Collection.DeepClone(),
            ["rounds"] = Rounds.DeepClone(),
        };
        JsonFile.Write(HeaderPath(folder, shard), json);
    }

    /// <exception cref="UserException">There is no data set, or it is damaged.</exception>
    public static RolloutSet Load(string folder, Shard? shard = null)
    {
        string path = HeaderPath(folder, shard);
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
                json["collection"] as JsonObject ?? [])
            {
                Rounds = json["rounds"] as JsonObject ?? [],
            };
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
        if ((string?)Collection["source"] is { } source && !source.StartsWith(task.Source, StringComparison.Ordinal))
            throw new UserException($"{folder}: the data set holds roll-outs of {source}, but this run is of {task.Source}; give the --task and the files that it was collected with, or collect again.");
        if (Reference != reference)
            throw new UserException($"{folder}: the data set holds roll-outs of another reference ({Start(Reference)}…, not {Start(reference)}…); give --model the reference that made it, or collect again.");
    }

    /// <summary>Whether some responses are not π_ref's own law from the first token on, whatever their round: a uniformly random token was put where they are cut.</summary>
    public bool IsSwitched => (int?)Collection["switch_top_k"] > 0;

    /// <summary>The first characters of a fingerprint, which a file may hold cut short.</summary>
    private static string Start(string fingerprint) => fingerprint[..Math.Min(12, fingerprint.Length)];
}
