using System.CommandLine;
using System.Text;
using System.Text.Json;

using QSharp.Engine;

namespace QSharp.Cli;

/// <summary>
/// <c>--config FILE</c>: JSON with the names of the long options. What the command line says wins; an unknown name is an
/// error. The file's values become options behind the command line's own, so both are checked by the same parsers.
/// </summary>
internal static class ConfigFile
{
    private const string OptionName = "--config";

    /// <exception cref="UserException">The file cannot be read, is not such JSON, or names an option that the verb lacks.</exception>
    public static string[] Merge(RootCommand root, string[] args)
    {
        if (PathIn(args) is not { } path) return args;
        Command? verb = root.Subcommands.FirstOrDefault(command => command.Name == args.FirstOrDefault());
        if (verb is null) return args;
        Dictionary<string, Option> options = verb.Options.Where(option => option.Name != OptionName)
            .SelectMany(option => Names(option).Select(name => (Key: name[2..], Option: option))).ToDictionary(pair => pair.Key, pair => pair.Option);
        List<string> merged = [.. args];
        Dictionary<Option, string> seen = [];
        foreach ((string key, JsonElement value) in Read(path))
        {
            if (key == "$schema") continue;
            if (!options.TryGetValue(key, out Option? known))
                throw new UserException($"{path}: '{key}' is no option of '{verb.Name}'{Nearest.Hint(key, options.Keys)}.");
            if (!seen.TryAdd(known, key)) throw new UserException($"{path}: '{seen[known]}' and '{key}' are one option; say it once.");
            if (Names(known).Any(name => Array.Exists(args, arg => IsOf(arg, name)))) continue;
            if (value.ValueKind is JsonValueKind.Null) continue;
            bool isFlag = known.ValueType == typeof(bool);
            if (isFlag != (value.ValueKind is JsonValueKind.True or JsonValueKind.False))
                throw new UserException($"{path}: '{key}' must be {(isFlag ? "true or false" : "a text, a number, or a list of these")}, not {value.GetRawText()}.");
            if (!isFlag) merged.AddRange(Texts(path, key, value, known.ValueType).SelectMany(text => (string[])[known.Name, text]));
            else if (value.GetBoolean()) merged.Add(known.Name);
        }
        return [.. merged];
    }

    /// <summary>An option's long names.</summary>
    private static IEnumerable<string> Names(Option option) => option.Aliases.Prepend(option.Name).Where(name => name.StartsWith("--", StringComparison.Ordinal));

    /// <summary>Whether an argument is an option, or the option and its value.</summary>
    private static bool IsOf(string arg, string name) => arg.StartsWith(name, StringComparison.Ordinal) && (arg.Length == name.Length || arg[name.Length] is '=' or ':');

    private static string? PathIn(string[] args)
    {
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] == OptionName && i + 1 < args.Length) return args[i + 1];
            if (args[i].Length > OptionName.Length && IsOf(args[i], OptionName)) return args[i][(OptionName.Length + 1)..];
        }
        return null;
    }

    private static List<(string Key, JsonElement Value)> Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                File.ReadAllText(path, Encoding.UTF8),
                new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new UserException($"{path}: a config file is a JSON object, such as {{ \"graph\": \"2,3\" }}.");
            return [.. document.RootElement.EnumerateObject().Select(property => (property.Name, property.Value.Clone()))];
        }
        catch (JsonException error)
        {
            throw new UserException($"{path}: not valid JSON{(error.LineNumber is { } line ? $" at line {line + 1}" : "")} ({error.Message.Split(" Path:")[0].Split(" LineNumber:")[0].TrimEnd('.')}).", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UserException($"{OptionName} {path}: the file cannot be read ({error.Message.TrimEnd('.')}).", error);
        }
    }

    /// <summary>A list is an option given several times, where it may be; one value with commas, where a list is such a value.</summary>
    private static IEnumerable<string> Texts(string path, string key, JsonElement value, Type type)
    {
        if (value.ValueKind != JsonValueKind.Array || (type != typeof(string) && type != typeof(string[]))) return [Text(path, key, value)];
        if (type == typeof(string)) throw new UserException($"{path}: '{key}' is one text, not a list.");
        return value.EnumerateArray().Select(item => Text(path, key, item));
    }

    private static string Text(string path, string key, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.Array => string.Join(',', value.EnumerateArray().Select(item => Text(path, key, item))),
        _ => throw new UserException($"{path}: '{key}' must be a text, a number, true or false, or a list of texts and numbers."),
    };
}
