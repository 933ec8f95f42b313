using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>A GGUF file as a model folder.</summary>
internal static class ConvertVerb
{
    public static Command Create()
    {
        Command verb = new("convert", "Write a GGUF file's model as a Hugging Face folder in BF16: config, tokenizer, chat template and weights.");
        Argument<string> file = new("FILE") { Description = "The GGUF file." };
        Argument<string> folder = new("DIR") { Description = "The folder to write; it must be empty or not there." };
        Option<bool> overwrite = OptionFactory.Flag("--overwrite", "Replace the model that an earlier conversion left in DIR.");
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
        Option<bool> quiet = OptionFactory.Flag("--quiet", "No progress.");
        foreach (Argument argument in (Argument[])[file, folder]) verb.Arguments.Add(argument);
        foreach (Option option in (Option[])[overwrite, json, quiet]) verb.Options.Add(option);
        verb.SetAction((parsed, stop) =>
        {
            IProgressSink progress = parsed.GetValue(quiet) ? new SilentProgress() : new ProgressReporter(Console.Error, Terminal.IsLive);
            using GgufCheckpoint model = GgufCheckpoint.Open(parsed.GetValue(file)!);
            ConvertedModel made = GgufConverter.Write(model, parsed.GetValue(folder)!, parsed.GetValue(overwrite), progress, stop);
            if (parsed.GetValue(json)) Console.Out.WriteLine(Json(made).ToJsonString());
            else Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{made.Path}: {made.Tensors} tensors, {made.Parameters:N0} parameters, {made.Bytes:N0} bytes"));
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    private static JsonObject Json(ConvertedModel made) => new()
    {
        ["path"] = made.Path,
        ["tensors"] = made.Tensors,
        ["parameters"] = made.Parameters,
        ["bytes"] = made.Bytes,
    };
}
