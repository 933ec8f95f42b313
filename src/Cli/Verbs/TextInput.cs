using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Texts from the command line or a file.</summary>
internal static class TextInput
{
    /// <summary>One text, or the list of a JSON file.</summary>
    /// <param name="option">Name of the option of the one text.</param>
    /// <exception cref="UserException">There is none or both, or the file is no such list.</exception>
    public static string[] Read(string? text, string option, string? file)
    {
        if ((text is null) == (file is null)) throw new UserException($"Give either {option} or --file.");
        return text is not null ? [text] : ReadList(file!);
    }

    /// <summary>The texts of a JSON file that holds a list of them.</summary>
    /// <exception cref="UserException">It cannot be read, or holds something else.</exception>
    public static string[] ReadList(string file) =>
        TextFile.Json(file) is JsonArray list && list.All(item => item?.GetValueKind() == JsonValueKind.String)
            ? [.. list.Select(item => item!.GetValue<string>())]
            : throw new UserException($"{file}: this must be a JSON list of texts, [\"one\", \"two\"].");

    /// <summary>A token in one line: line ends and other control characters are written as escapes.</summary>
    public static string Visible(string text)
    {
        StringBuilder shown = new();
        foreach (char c in text)
            shown.Append(c switch { '\n' => "\\n", '\r' => "\\r", '\t' => "\\t", _ when char.IsControl(c) => $"\\u{(int)c:x4}", _ => c.ToString() });
        return shown.ToString();
    }
}
