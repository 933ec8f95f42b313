using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The state of a training phase: <c>checkpoint-000200/</c> with <c>model.safetensors</c>, <c>optimizer.safetensors</c> and
/// <c>trainer.json</c>, made under another name and renamed when complete. Batches and random numbers are functions of
/// (seed, step), so a run that resumes has the bits of one that never stopped.
/// </summary>
public static class TrainerCheckpoint
{
    private const string Prefix = "checkpoint-", BestName = "best.safetensors", LaggedName = "lagged.safetensors", CompanionPrefix = "critic-";

    /// <summary>Saves the trainer's state and removes older checkpoints of the folder.</summary>
    /// <param name="fingerprint">Everything that shapes the run.</param>
    public static void Save(Trainer trainer, string folder, string fingerprint)
    {
        string name = Path.Combine(folder, Prefix + trainer.Step.ToString("000000", CultureInfo.InvariantCulture));
        AtomicFolder.Write(name, partial =>
        {
            SaveParameters(trainer, partial, "");
            if (trainer.Companion is { } companion) SaveParameters(companion, partial, CompanionPrefix);
            if (trainer.Lagged is { } lagged) SafeTensorsWriter.Write(Path.Combine(partial, LaggedName), NativeTensors.Sources(lagged));
            JsonObject state = new() { ["step"] = trainer.Step, ["fingerprint"] = fingerprint };
            if (trainer.HeldOut is { BestStep: > 0 } heldOut)
            {
                SafeTensorsWriter.Write(Path.Combine(partial, BestName), heldOut.Best.Select(each => SafeTensorsSource.FromFloats(each.Key, [each.Value.Length], each.Value)));
                (state["best_step"], state["best_loss"]) = (heldOut.BestStep, heldOut.BestLoss);
            }
            JsonFile.Write(Path.Combine(partial, "trainer.json"), state);
        });
        foreach (string other in Checkpoints(folder))
            if (other != name) Directory.Delete(other, recursive: true);
    }

    /// <summary>Loads the newest checkpoint into a trainer; false where there is none.</summary>
    /// <exception cref="UserException">The checkpoint is of another configuration, or damaged.</exception>
    public static bool LoadNewest(Trainer trainer, string folder, string fingerprint)
    {
        if (Newest(folder) is not { } newest) return false;
        JsonObject json;
        try
        {
            json = JsonFile.Read(Path.Combine(newest, "trainer.json"));
        }
        catch (Exception error) when (error is JsonException or IOException)
        {
            throw new UserException($"{newest}: trainer.json cannot be read ({error.Message}); delete this checkpoint to go on from an older one.", error);
        }
        if ((string?)json["fingerprint"] != fingerprint)
            throw new UserException($"{newest}: this checkpoint belongs to a run with other settings; resume with the same settings, or start anew with --overwrite.");
        int step = (int?)json["step"] ?? 0;
        LoadParameters(trainer, newest, "", step);
        if (trainer.Companion is { } companion) LoadParameters(companion, newest, CompanionPrefix, step);
        if (trainer.Lagged is { } lagged)
        {
            using SafeTensorsFile file = SafeTensorsFile.Open(Path.Combine(newest, LaggedName));
            NativeTensors.Load(file, lagged);
        }
        if (trainer.HeldOut is { } heldOut && (int?)json["best_step"] is { } best) LoadBest(heldOut, Path.Combine(newest, BestName), best, (double)json["best_loss"]!);
        return true;
    }

    /// <summary>The folder of the newest checkpoint; null where there is none.</summary>
    public static string? Newest(string folder) => Checkpoints(folder).LastOrDefault();

    /// <summary>Removes a finished phase's checkpoints.</summary>
    public static void Delete(string folder)
    {
        foreach (string checkpoint in Checkpoints(folder)) Directory.Delete(checkpoint, recursive: true);
    }

    private static void SaveParameters(Trainer trainer, string folder, string prefix)
    {
        SafeTensorsWriter.Write(Path.Combine(folder, prefix + "model.safetensors"), NativeTensors.Sources(trainer.Optimizer.Weights));
        SafeTensorsWriter.Write(
            Path.Combine(folder, prefix + "optimizer.safetensors"),
            NativeTensors.Sources(trainer.Optimizer.FirstMoment, "m.").Concat(NativeTensors.Sources(trainer.Optimizer.SecondMoment, "v.")));
    }

    private static void LoadParameters(Trainer trainer, string folder, string prefix, int step)
    {
        using SafeTensorsFile model = SafeTensorsFile.Open(Path.Combine(folder, prefix + "model.safetensors"));
        using SafeTensorsFile optimizer = SafeTensorsFile.Open(Path.Combine(folder, prefix + "optimizer.safetensors"));
        NativeTensors.Load(model, trainer.Optimizer.Weights);
        trainer.Optimizer.RoundWeights(step);
        NativeTensors.Load(optimizer, trainer.Optimizer.FirstMoment, "m.");
        NativeTensors.Load(optimizer, trainer.Optimizer.SecondMoment, "v.");
        trainer.Step = step;
    }

    private static void LoadBest(HeldOut heldOut, string path, int step, double loss)
    {
        using SafeTensorsFile best = SafeTensorsFile.Open(path);
        foreach (SafeTensorsEntry entry in best.Entries)
        {
            float[] values = new float[entry.Shape.Aggregate(1L, (count, size) => count * size)];
            best.CopyTo(entry, values);
            heldOut.Best[entry.Name] = values;
        }
        (heldOut.BestStep, heldOut.BestLoss) = (step, loss);
    }

    private static string[] Checkpoints(string folder)
    {
        if (!Directory.Exists(folder)) return [];
        string[] found = [.. Directory.GetDirectories(folder, Prefix + "*").Where(path => !path.EndsWith(".partial", StringComparison.Ordinal))];
        Array.Sort(found, StringComparer.Ordinal);
        return found;
    }
}
