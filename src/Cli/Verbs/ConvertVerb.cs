using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>A GGUF file as a Hugging Face folder.</summary>
internal static class ConvertVerb
{
    public static Command Create()
    {
        Command verb = new("convert", "Write a GGUF file as a Hugging Face folder in BF16: config, tokenizer, chat template and weights.");
        Argument<string> file = new("FILE") { Description = "The GGUF file." };
        Argument<string> folder = new("DIR") { Description = "The folder to make." };
        Option<bool> overwrite = OptionFactory.Flag("--overwrite", "Replace the model in DIR.");
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
        Option<bool> quiet = OptionFactory.Flag("--quiet", "No progress.");
        verb.Arguments.Add(file);
        verb.Arguments.Add(folder);
        foreach (Option option in (Option[])[overwrite, json, quiet]) verb.Options.Add(option);
        verb.SetAction((parsed, stop) =>
        {
            string target = parsed.GetValue(folder)!;
            RequireFree(target, parsed.GetValue(overwrite));
            using GgufCheckpoint checkpoint = GgufCheckpoint.Open(parsed.GetValue(file)!);
            IProgressSink progress = parsed.GetValue(quiet) ? new SilentProgress() : new ProgressReporter(Console.Error, Terminal.IsLive);
            Conversion done = GgufConverter.Write(checkpoint, target, progress, stop);
            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(new JsonObject
                {
                    ["path"] = done.Path,
                    ["tensors"] = done.Tensors,
                    ["parameters"] = done.Parameters,
                    ["bytes"] = done.Bytes,
                }.ToJsonString());
            }
            else
            {
                Console.Out.WriteLine($"{done.Path}: {done.Tensors} tensors, {done.Parameters:N0} parameters, {done.Bytes:N0} bytes");
            }
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    /// <summary>Only a model's folder is replaced, and only when asked for.</summary>
    private static void RequireFree(string folder, bool overwrite)
    {
        if (File.Exists(folder)) throw new UserException($"{folder}: this is a file; give the name of a folder.");
        if (!Directory.Exists(folder) || !Directory.EnumerateFileSystemEntries(folder).Any()) return;
        if (!overwrite) throw new UserException($"{folder}: this folder is not empty; replace the model in it with --overwrite, or give another one.");
        if (!ModelFolder.Exists(folder))
            throw new UserException($"--overwrite: {folder} does not look like the folder of a model (there is no config.json); remove it yourself, or give another one.");
    }
}
