using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>A prompt of a text task and the rule that judges its responses.</summary>
public sealed record TextProblem(int[] Prompt, TextRule Rule) : Problem(Prompt, []);

/// <summary>
/// Problems of a JSON-lines file, for the model's own tokens: <c>{"prompt": "…", "rule": {…}}</c>, or <c>"messages": […]</c>
/// instead of the prompt, which go through the model's chat template. See <see cref="TextRule"/>. The file is one split:
/// give one file to collect from and another one to evaluate on.
/// </summary>
public sealed class TextTask : ITask
{
    private readonly Tokenizer _tokenizer;
    private readonly TextProblem[] _problems;
    private readonly HashSet<int> _stops;
    private readonly string _hash;

    /// <param name="path">The file.</param>
    /// <param name="model">Whose tokenizer, chat template and end tokens are used.</param>
    /// <param name="responseLimit">Most tokens of a response.</param>
    /// <exception cref="UserException">The file cannot be read, or a line is no problem.</exception>
    public TextTask(string path, ModelFiles model, int responseLimit)
    {
        _tokenizer = model.Tokenizer;
        Stops = model.EndIds;
        _stops = [.. Stops];
        ResponseLimit = responseLimit;
        string text = TextFile.Text(path);
        _hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
        List<TextProblem> problems = [];
        int number = 0;
        foreach (string line in text.Split('\n'))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line)) problems.Add(Parse(line, $"{path}, line {number}", model));
        }
        if (problems.Count == 0) throw new UserException($"{path}: there is no problem here; give one in each line, {{\"prompt\": \"…\", \"rule\": {{…}}}}.");
        _problems = [.. problems];
        PromptLimit = _problems.Max(problem => problem.Prompt.Length);
    }

    /// <summary>The tokenizer alone: models and guides fit every text task with theirs.</summary>
    public string Fingerprint => FingerprintOf(_tokenizer);

    public string Settings => $"{Fingerprint},file={_hash[..16]},limit={ResponseLimit}";

    public bool IsText => true;

    public int Vocabulary => _tokenizer.Count;

    public IReadOnlyList<int> Stops { get; }

    public int PromptLimit { get; }

    public int ResponseLimit { get; }

    /// <summary>Lines in order, over and over.</summary>
    public Problem Problem(Split split, ulong key, long index) => _problems[index % _problems.Length];

    public Problem[] TestProblems(ulong key, int count) => _problems[..Math.Min(count, _problems.Length)];

    /// <summary>The fingerprint of every text task with a tokenizer.</summary>
    public static string FingerprintOf(Tokenizer tokenizer) => $"text,tokenizer={tokenizer.Fingerprint[..16]}";

    public float Reward(Problem problem, ReadOnlySpan<int> response)
    {
        bool ended = response.Length > 0 && _stops.Contains(response[^1]);
        return ((TextProblem)problem).Rule.Reward(_tokenizer.Decode(ended ? response[..^1] : response), ended);
    }

    private static TextProblem Parse(string line, string source, ModelFiles model)
    {
        JsonObject json = TextFile.Json(Encoding.UTF8.GetBytes(line), source) as JsonObject
            ?? throw new UserException($"{source}: not a JSON object; give {{\"prompt\": \"…\", \"rule\": {{…}}}}.");
        if (json["rule"] is not JsonObject rule) throw new UserException($"{source}: there is no rule; give \"rule\": {{\"contains\": \"…\"}} or another one.");
        int[] prompt = json switch
        {
            _ when json["messages"] is JsonArray messages => TextPrompts.FromMessages(ChatMessage.Read(messages, source), model),
            _ when json["prompt"] is JsonValue value && value.TryGetValue(out string? text) => model.Tokenizer.Encode(text),
            _ => throw new UserException($"{source}: there is no prompt; give \"prompt\": \"…\" or \"messages\": […]."),
        };
        if (prompt.Length == 0) throw new UserException($"{source}: the prompt is empty, and the tokenizer adds no token of its own; give at least one word.");
        return new TextProblem(prompt, new TextRule(rule, $"{source}: rule"));
    }
}
