using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A line of GSM8K or MATH: question and answer (with <c>#### 72</c> at the end), problem and solution (with a box), or problem and
/// answer. Other fields are ignored.
/// </summary>
internal static class MathLine
{
    private const string Mark = "####", StepByStep = "Let's think step by step. ";

    public static TextProblem Read(ConfigJson line, TextTaskSettings settings, ModelFiles model)
    {
        string problem = line.Has("problem") ? line.Text("problem")
            : line.Has("question") ? line.Text("question")
            : throw new UserException($"{line.Path}: there is no problem; give \"problem\" or \"question\".");
        if (string.IsNullOrWhiteSpace(problem)) throw new UserException($"{line.Path}: the problem is empty; write what is asked.");
        return new TextProblem(TextPrompts.FromRequest(Prompt(problem, settings.StepByStep), model, settings.UseChat), TextRule.Math(Gold(line, settings.Name == "gsm8k")), problem);
    }

    /// <summary>The paper's prompt (method notes §5.2).</summary>
    public static string Prompt(string problem, bool stepByStep) => $"Problem:\n\n{problem} {(stepByStep ? StepByStep : "")}Write your answer inside \\boxed{{}}.\n\nSolution:";

    private static string Gold(ConfigJson line, bool isGsm8K)
    {
        string gold;
        if (line.Has("answer"))
        {
            string answer = line.Text("answer");
            int mark = answer.LastIndexOf(Mark, StringComparison.Ordinal);
            if (mark < 0 && isGsm8K) throw new UserException($"{line.Path}: answer has no '#### ' with the right number behind it; add it, or take --task math.");
            gold = mark < 0 ? answer : answer[(mark + Mark.Length)..].Replace(",", "", StringComparison.Ordinal);
        }
        else if (line.Has("solution")) gold = AnswerText.Boxed(line.Text("solution"));
        else throw new UserException($"{line.Path}: there is no answer; give \"answer\", or a \"solution\" with the answer in a \\boxed{{}}.");
        return gold.Trim() is { Length: > 0 } text ? text
            : throw new UserException($"{line.Path}: the {(line.Has("answer") ? "answer is empty" : "solution has no \\boxed{} with the answer")}; write the right answer there.");
    }
}
