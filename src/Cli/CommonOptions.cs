using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Options that most verbs share, and what a verb makes of them.</summary>
internal sealed class CommonOptions
{
    private readonly Option<string> _device = OptionFactory.Text("--device", "Where to compute: cpu, cuda, cuda:N, or auto (a card if one works).", "cpu");
    private readonly Option<int> _threads = OptionFactory.Integer("--threads", "Threads of the CPU device; 0 takes one for each processor.", 0, 0, OptionFactory.MostThreads);
    private readonly Option<ulong> _seed = OptionFactory.Seed();
    private readonly Option<string?> _out = OptionFactory.OptionalText("--out", "Folder of the run [default: runs/VERB-N].");
    private readonly Option<string?> _config = OptionFactory.OptionalText("--config", "JSON file with the names of these options; the command line wins.");
    private readonly Option<bool> _quiet = OptionFactory.Flag("--quiet", "No progress.");
    private readonly Option<bool> _json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
    private readonly Option<string?> _trace = OptionFactory.OptionalText("--trace", "Write a trace of all ops to this file, for ui.perfetto.dev.");
    private readonly Option<bool> _resume = OptionFactory.Flag("--resume", "Go on with the run in --out.");
    private readonly Option<bool> _overwrite = OptionFactory.Flag("--overwrite", "Replace the run in --out.");

    /// <param name="hasRun">Whether the verb writes a run's folder.</param>
    /// <param name="hasTrace">Whether its ops can be traced.</param>
    public CommonOptions(Command verb, bool hasRun = true, bool hasTrace = true)
    {
        foreach (Option option in (Option[])[_seed, _device, _threads, _config, _json, _quiet]) verb.Options.Add(option);
        if (hasTrace) verb.Options.Add(_trace);
        if (hasRun) foreach (Option option in (Option[])[_out, _resume, _overwrite]) verb.Options.Add(option);
    }

    public bool Json(ParseResult parsed) => parsed.GetValue(_json);

    public ulong Seed(ParseResult parsed) => parsed.GetValue(_seed);

    public IProgressSink Progress(ParseResult parsed) => parsed.GetValue(_quiet) ? new SilentProgress() : new ProgressReporter(Console.Error, Terminal.IsLive);

    /// <summary>Opens the device; the caller disposes of it.</summary>
    public (Device Device, Ops Ops) Open(ParseResult parsed)
    {
        Device device = Devices.Open(parsed.GetValue(_device)!, parsed.GetValue(_threads));
        try
        {
            if (parsed.GetValue(_trace) is { } trace) Trace.Start(trace, device);
        }
        catch
        {
            device.Dispose();
            throw;
        }
        return (device, Ops.For(device));
    }

    /// <summary>The folder of --out where what it holds is kept, or null.</summary>
    public string? KeptFolder(ParseResult parsed) => parsed.GetValue(_overwrite) ? null : parsed.GetValue(_out);

    /// <summary>The folder that several runs fill together, each with files of its own.</summary>
    /// <param name="isThere">Whether a folder has this run's files.</param>
    public string SharedFolder(ParseResult parsed, Func<string, bool> isThere)
    {
        string folder = parsed.GetValue(_out) ?? throw new UserException("--shard: all shards go into one folder; say which with --out DIR.");
        if (parsed.GetValue(_overwrite)) throw new UserException("--overwrite would remove the other shards too; remove this shard's files yourself, or give another folder.");
        if (!parsed.GetValue(_resume) && isThere(folder)) throw new UserException($"--out {folder}: this shard is there already; go on with --resume, or give another folder.");
        return folder;
    }

    /// <summary>Opens the run's folder.</summary>
    /// <param name="settings">What shapes the run; the seed is added.</param>
    public RunFolder OpenFolder(ParseResult parsed, string verb, JsonObject settings)
    {
        bool resume = parsed.GetValue(_resume), overwrite = parsed.GetValue(_overwrite);
        if (resume && overwrite) throw new UserException("--resume and --overwrite exclude each other; say one of them.");
        if (overwrite && parsed.GetValue(_out) is { } gone) RequireInputsOutside(parsed, gone);
        settings["seed"] = Seed(parsed);
        return RunFolder.Open(
            parsed.GetValue(_out), verb, resume ? ExistingFolder.Resume : overwrite ? ExistingFolder.Overwrite : ExistingFolder.Refuse, settings);
    }

    /// <summary>Refuses to remove what the run is to read: any option's file or folder that lies in the folder to be replaced.</summary>
    private void RequireInputsOutside(ParseResult parsed, string folder)
    {
        string root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)) + Path.DirectorySeparatorChar;
        foreach (Option option in parsed.CommandResult.Command.Options)
        {
            if (option == _out || option == _trace || parsed.GetResult(option) is not { Implicit: false } given) continue;
            foreach (string value in given.Tokens.Select(token => token.Value))
                if (Path.Exists(value) && (Path.GetFullPath(value) + Path.DirectorySeparatorChar).StartsWith(root, StringComparison.Ordinal))
                    throw new UserException($"--overwrite: {option.Name} {value} lies in --out {folder}, which would be removed; give another --out.");
        }
    }
}
