using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Ids of a text or of a conversation, text of ids.</summary>
internal static class TokenizeVerb
{
    private static readonly Option<string?> Model = OptionFactory.RequiredText("--model", "The model: a folder, or a GGUF file.");
    private static readonly Option<string?> Text = new("--text") { Description = "A text; it may be empty.", HelpName = "TEXT" };
    private static readonly Option<string?> File = OptionFactory.OptionalText("--file", "A JSON array of texts; each gives one result.");
    private static readonly Option<string?> Messages = OptionFactory.OptionalText("--messages", "A JSON array of messages with role and content, for the model's chat template.");
    private static readonly Option<bool> Prompt = OptionFactory.Flag("--generation-prompt", "With --messages: the beginning of the answer follows.");
    private static readonly Option<string?> Decode = OptionFactory.OptionalText("--decode", "Ids, with spaces or commas between them, to be turned into text.");
    private static readonly Option<bool> NoSpecial = OptionFactory.Flag("--no-special", "Adds no special tokens around a text; with --decode, leaves them out.");
    private static readonly Option<bool> Json = OptionFactory.Flag("--json", "Standard output is one line of JSON for each text.");

    public static Command Create()
    {
        Command verb = new("tokenize", "Ids of a text or of chat messages, text of ids.");
        foreach (Option option in (Option[])[Model, Text, File, Messages, Prompt, Decode, NoSpecial, Json]) verb.Options.Add(option);
        verb.SetAction(parsed =>
        {
            Check(parsed);
            TextFiles files = TextFiles.Open(parsed.GetValue(Model)!);
            bool isFirst = true;
            foreach ((string? text, int[] ids) in Results(parsed, files))
            {
                if (parsed.GetValue(Json)) Console.Out.WriteLine(Document(files.Tokenizer, text, ids).ToJsonString());
                else Print(Console.Out, files.Tokenizer, text, ids, isFirst);
                isFirst = false;
            }
            return ExitCodes.Done;
        });
        return verb;
    }

    private static void Check(ParseResult parsed)
    {
        string[] given = [.. ((Option<string?>[])[Text, File, Messages, Decode]).Where(option => parsed.GetValue(option) is not null).Select(option => option.Name)];
        if (given.Length == 0) throw new UserException("There is nothing to do: give one of --text, --file, --messages and --decode.");
        if (given.Length > 1) throw new UserException($"{string.Join(" and ", given)} exclude each other; give one of them.");
        if (parsed.GetValue(Prompt) && given[0] != Messages.Name) throw new UserException("--generation-prompt goes with --messages; give both or neither.");
    }

    /// <summary>The ids of each input, and the text that they were made from or spell, where the user did not give it.</summary>
    private static IEnumerable<(string? Text, int[] Ids)> Results(ParseResult parsed, TextFiles files)
    {
        bool special = !parsed.GetValue(NoSpecial);
        if (parsed.GetValue(Decode) is { } list)
        {
            int[] ids = Ids(list);
            yield return (files.Tokenizer.Decode(ids, skipSpecial: !special), ids);
        }
        else if (parsed.GetValue(Messages) is { } path)
        {
            ChatTemplate chat = files.Chat ?? throw new UserException($"{parsed.GetValue(Model)}: this model has no chat template; give --text.");
            string text = chat.Render(ChatMessage.ReadMessages(path), parsed.GetValue(Prompt));
            yield return (text, files.Tokenizer.Encode(text, special: false));   // the template writes the special tokens
        }
        else
        {
            foreach (string text in parsed.GetValue(Text) is { } one ? [one] : TextInput.ReadList(parsed.GetValue(File)!))
                yield return (null, files.Tokenizer.Encode(text, special));
        }
    }

    private static int[] Ids(string list) =>
    [
        .. list.Split([' ', ',', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries).Select(word =>
            int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int id) ? id : throw new UserException($"--decode: '{word}' is no id; give whole numbers with spaces between them.")),
    ];

    private static JsonObject Document(Tokenizer tokenizer, string? text, int[] ids)
    {
        JsonObject json = new()
        {
            ["ids"] = new JsonArray([.. ids.Select(id => JsonValue.Create(id))]),
            ["tokens"] = new JsonArray([.. ids.Select(id => JsonValue.Create(tokenizer.Token(id)))]),
        };
        if (text is not null) json["text"] = text;
        return json;
    }

    /// <summary>The text, where there is one, then a line for each id.</summary>
    private static void Print(TextWriter output, Tokenizer tokenizer, string? text, int[] ids, bool isFirst)
    {
        if (!isFirst) output.WriteLine();
        if (text is not null) output.WriteLine(text + Environment.NewLine);
        int width = ids.Length == 0 ? 0 : ids.Max().ToString(CultureInfo.InvariantCulture).Length;
        foreach (int id in ids) output.WriteLine($"{id.ToString(CultureInfo.InvariantCulture).PadLeft(width)}  {TextInput.Visible(tokenizer.Token(id) ?? "(no token)")}");
        output.WriteLine(ids.Length == 1 ? "1 token" : $"{ids.Length} tokens");
    }
}
