using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A model's chat template: a Jinja program that writes a conversation as the one text that the model was trained on. It renders as
/// the transformers library does. The text is to be encoded without special tokens, since the template writes them itself.
/// </summary>
/// <param name="template">The program.</param>
/// <param name="bosToken">The text of the beginning token, or null where the model has none.</param>
/// <param name="eosToken">The text of the end token, or null.</param>
/// <param name="source">Where the template comes from, for messages.</param>
/// <param name="clock">What the template is told when it asks for the date; null for the machine's clock.</param>
public sealed class ChatTemplate(string template, string? bosToken, string? eosToken, string source, TimeProvider? clock = null)
{
    private const string Config = "tokenizer_config.json", Special = "special_tokens_map.json";
    private readonly Lazy<JinjaProgram> _program = new(() => new JinjaProgram(template, source, clock ?? TimeProvider.System));

    /// <summary>The template of a model's folder, or null where it has none.</summary>
    /// <exception cref="UserException">A file is damaged.</exception>
    public static ChatTemplate? FromFolder(string folder)
    {
        JsonObject? config = Object(folder, Config), special = Object(folder, Special);
        string jinja = Path.Combine(folder, "chat_template.jinja");
        (string? template, string source) = File.Exists(jinja) ? (TextFile.Text(jinja), jinja) : (null, Path.Combine(folder, Config));
        template ??= Default(config?["chat_template"], source) ?? Default(Object(folder, "chat_template.json")?["chat_template"], source);
        return template is null ? null : new ChatTemplate(template, Token("bos_token"), Token("eos_token"), source);

        string? Token(string name) => TokenText(config?[name]) ?? TokenText(special?[name]);
    }

    /// <summary>
    /// Starts to load what rendering needs, on another thread: most of a second that need not be waited for while a model loads.
    /// </summary>
    public void Warm() => Task.Run(() => _program.Value);

    /// <summary>Writes a conversation as text.</summary>
    /// <param name="generationPrompt">Whether the beginning of the assistant's answer follows.</param>
    /// <exception cref="UserException">The template refuses the conversation, is damaged, or does not end.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool generationPrompt)
    {
        JsonObject variables = new()
        {
            ["messages"] = new JsonArray([.. messages.Select(message => new JsonObject { ["role"] = message.Role, ["content"] = message.Content })]),
            ["tools"] = null,
            ["documents"] = null,
            ["add_generation_prompt"] = generationPrompt,
        };
        // A token that the model lacks is left undefined.
        if (bosToken is not null) variables["bos_token"] = bosToken;
        if (eosToken is not null) variables["eos_token"] = eosToken;
        return _program.Value.Render(variables.ToJsonString());
    }

    /// <summary>The text of a special token, which a file gives as it is or as an object with its content.</summary>
    internal static string? TokenText(JsonNode? token) =>
        (token is JsonObject json ? json["content"] : token) is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    /// <summary>The only template, or the one named default.</summary>
    private static string? Default(JsonNode? template, string source)
    {
        if (template is null) return null;
        JsonNode? one = template is JsonArray list ? list.FirstOrDefault(each => each is JsonObject json && json["name"]?.ToString() == "default")?["template"] : template;
        return one is JsonValue value && value.TryGetValue(out string? text)
            ? text
            : throw new UserException($"{source}: 'chat_template' is neither a text nor a list with one named 'default'; take the file from where the model came from.");
    }

    private static JsonObject? Object(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        return File.Exists(path) ? TextFile.Object(path) : null;
    }
}
