namespace QSharp.Model;

/// <summary>A prompt of a text task and the rule that judges its responses.</summary>
/// <param name="Text">What is asked; the splits of a single file go by it.</param>
public sealed record TextProblem(int[] Prompt, TextRule Rule, string Text) : Problem(Prompt, []);

/// <summary>Which text task, and where its problems lie.</summary>
/// <param name="Name">gsm8k, math or quality; null for a file with a rule in each line.</param>
/// <param name="Data">The file to learn from; null: there is none.</param>
/// <param name="TestData">The file to test on; null: a tenth of <paramref name="Data"/>, which is then not learned from.</param>
/// <param name="ResponseLimit">Most tokens of a response.</param>
/// <param name="UseChat">Whether prompts go through the model's chat template where it has one.</param>
/// <param name="StepByStep">Whether a mathematical prompt asks to think step by step.</param>
/// <param name="TruncatePassage">Whether a passage that is too long loses its beginning; else it is an error.</param>
public sealed record TextTaskSettings(
    string? Name, string? Data, string? TestData, int ResponseLimit, bool UseChat = true, bool StepByStep = false, bool TruncatePassage = false);
