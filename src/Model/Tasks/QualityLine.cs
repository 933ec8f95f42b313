using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A line of QuALITY: article or passage, question, options, and the right one's number (gold_label or label, from 1); or, as in the
/// files that its authors give, an article with a list of questions, each with options and a number.
/// </summary>
internal static class QualityLine
{
    public static IEnumerable<TextProblem> Read(ConfigJson line, JsonObject json, TextTaskSettings settings, ModelFiles model)
    {
        string passage = line.Text(line.Has("passage") ? "passage" : "article");
        if (!line.Has("questions")) return [Read(passage, line, json, settings, model)];
        if (json["questions"] is not JsonArray { Count: > 0 } list) throw new UserException($"{line.Path}: questions must be a list with at least one question.");
        return list.Select((item, i) => item is JsonObject question
            ? Read(passage, new ConfigJson(question, $"{line.Path}, question {i + 1}"), question, settings, model)
            : throw new UserException($"{line.Path}, question {i + 1}: not a JSON object; give question, options and gold_label."));
    }

    private static TextProblem Read(string passage, ConfigJson line, JsonObject json, TextTaskSettings settings, ModelFiles model)
    {
        string question = line.Text("question");
        string[] options = json["options"] is JsonArray ? [.. line.Texts("options")] : [];
        if (options.Length is < 2 or > AnswerText.LastChoice - 'A' + 1) throw new UserException($"{line.Path}: options must be a list of 2 to {AnswerText.LastChoice - 'A' + 1} texts.");
        string key = line.Has("label") ? "label" : "gold_label";
        int label = line.Integer(key);
        if (label < 1 || label > options.Length) throw new UserException($"{line.Path}: {key} is {label}, but must be from 1 to {options.Length}, the number of the right option.");
        int[] Encode(string text) => TextPrompts.FromRequest(Prompt(text, question, options), model, settings.UseChat);
        return new TextProblem(Fitted(passage, Encode, line.Path, settings, model), TextRule.Choice((char)('A' + label - 1)), $"{question}\n{string.Join('\n', options)}\n{passage}");
    }

    /// <summary>The paper gives none; the letter is asked for as the answers of the other tasks are.</summary>
    public static string Prompt(string passage, string question, IReadOnlyList<string> options) =>
        $"Passage:\n\n{passage}\n\nQuestion: {question}\n\n{string.Join('\n', options.Select((option, i) => $"({(char)('A' + i)}) {option}"))}\n\n"
        + "Write the letter of the right answer inside \\boxed{}.\n\nAnswer:";

    /// <summary>The prompt, its passage cut from the left to what the context leaves room for, if that is wished.</summary>
    private static int[] Fitted(string passage, Func<string, int[]> encode, string source, TextTaskSettings settings, ModelFiles model)
    {
        int room = model.Transformer.Context - settings.ResponseLimit;
        int[] prompt = encode(passage);
        if (prompt.Length <= room) return prompt;
        if (!settings.TruncatePassage)
            throw new UserException($"{source}: the prompt has {prompt.Length} tokens, but the context leaves room for {room}; add --truncate-passage to cut passages from the left, or lower --max-tokens.");
        int[] ids = model.Tokenizer.Encode(passage, special: false);
        // What is left may merge into other tokens, so the cut is made anew until it fits, or nothing is left.
        for (int cut = 0; cut < ids.Length;)
        {
            cut = Math.Min(cut + prompt.Length - room, ids.Length);
            prompt = encode(model.Tokenizer.Decode(ids.AsSpan(cut)).TrimStart('\uFFFD'));
            if (prompt.Length <= room) return prompt;
        }
        throw new UserException($"{source}: question and options alone do not fit the context's {room} tokens; lower --max-tokens or take a model with a longer context.");
    }
}
