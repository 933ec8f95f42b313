using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What the step-by-step verbs share.</summary>
internal static class VerbTask
{
    /// <summary>A required option that names a folder.</summary>
    public static Option<string?> RequiredFolder(Command verb, string name, string description)
    {
        Option<string?> option = OptionFactory.RequiredText(name, description);
        verb.Options.Add(option);
        return option;
    }

    /// <summary>Says what was made and where.</summary>
    public static void Report(bool json, string kind, string path, PhaseClock clock, JsonObject more)
    {
        JsonObject report = clock.ToJson();
        report[kind] = path;
        foreach ((string key, JsonNode? value) in more) report[key] = value?.DeepClone();
        if (json)
        {
            Console.Out.WriteLine(report.ToJsonString());
            return;
        }
        Console.Out.WriteLine($"{kind}: {path}");
        foreach ((string key, JsonNode? value) in more) Console.Out.WriteLine($"{key}: {value}");
        if (clock.TrainingTokensPerSecond > 0)
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"training: {clock.TrainingTokensPerSecond:N0} tokens/s"));
    }
}
