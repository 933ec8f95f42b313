using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Reads the problems of a JSON-lines file for a model.</summary>
internal sealed class ProblemFile
{
    private ProblemFile(TextProblem[] problems, string hash)
    {
        Problems = problems;
        Hash = hash;
    }

    public TextProblem[] Problems { get; }

    /// <summary>Of the file's text.</summary>
    public string Hash { get; }

    /// <exception cref="UserException">The file cannot be read, or a line is no problem of this task.</exception>
    public static ProblemFile Read(string path, TextTaskSettings settings, ModelFiles model)
    {
        string text = TextFile.Text(path);
        Func<ConfigJson, JsonObject, IEnumerable<TextProblem>> read = Layout(settings, model);
        List<TextProblem> problems = [];
        int number = 0;
        foreach (string line in text.Split('\n'))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            string source = $"{path}, line {number}";
            JsonObject json = TextFile.Json(Encoding.UTF8.GetBytes(line), source) as JsonObject ?? throw new UserException($"{source}: not a JSON object; give one problem in each line.");
            foreach (TextProblem problem in read(new ConfigJson(json, source), json))
            {
                if (problem.Prompt.Length == 0) throw new UserException($"{source}: the prompt is empty, and the tokenizer adds no token of its own; give at least one word.");
                problems.Add(problem);
            }
        }
        if (problems.Count == 0) throw new UserException($"{path}: there is no problem here; give one in each line, such as {Example(settings.Name)}.");
        return new ProblemFile([.. problems], Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text))));
    }

    private static Func<ConfigJson, JsonObject, IEnumerable<TextProblem>> Layout(TextTaskSettings settings, ModelFiles model) => settings.Name switch
    {
        null => (line, json) => [RuleLine.Read(line, json, model)],
        "quality" => (line, json) => QualityLine.Read(line, json, settings, model),
        _ => (line, _) => [MathLine.Read(line, settings, model)],
    };

    private static string Example(string? name) => name switch
    {
        null => "{\"prompt\": \"…\", \"rule\": {…}}",
        "quality" => "{\"article\": \"…\", \"question\": \"…\", \"options\": [\"…\"], \"gold_label\": 1}",
        "gsm8k" => "{\"question\": \"…\", \"answer\": \"… #### 72\"}",
        _ => "{\"problem\": \"…\", \"solution\": \"… \\\\boxed{72}\"}",
    };
}

/// <summary>A prompt or messages, and a rule.</summary>
internal static class RuleLine
{
    public static TextProblem Read(ConfigJson line, JsonObject json, ModelFiles model)
    {
        if (json["rule"] is not JsonObject rule) throw new UserException($"{line.Path}: there is no rule; give \"rule\": {{\"contains\": \"…\"}} or another one.");
        TextRule judge = new(rule, $"{line.Path}: rule");
        if (line.Has("prompt") && line.Has("messages")) throw new UserException($"{line.Path}: there are both a prompt and messages; give one of them.");
        if (json["messages"] is JsonArray messages) return new TextProblem(TextPrompts.FromMessages(ChatMessage.Read(messages, line.Path), model), judge, messages.ToJsonString());
        if (!line.Has("prompt")) throw new UserException($"{line.Path}: there is no prompt; give \"prompt\": \"…\" or \"messages\": […].");
        return new TextProblem(TextPrompts.FromText(line.Text("prompt"), model), judge, line.Text("prompt"));
    }
}
