namespace QSharp.Model;

/// <summary>What a prompt of the tool-call task is worth, exactly, for a given π_ref; all at one η.</summary>
/// <param name="Reference">E[R] of π_ref.</param>
/// <param name="Soft">V*_η: the most that E[R] − η·KL can be, by the soft Bellman equation with a mean over tools' answers.</param>
/// <param name="Naive">What the law of the return makes of it, η ln E[exp(R/η)] over model and tools alike: too much, for tools cannot be tilted.</param>
/// <param name="NaiveObjective">E[R] − η·KL of the policy that believes that.</param>
public readonly record struct ToolCallValues(double Reference, double Soft, double Naive, double NaiveObjective)
{
    /// <summary>By enumeration of every response that can still be rewarded; all others together are worth 0.</summary>
    /// <param name="reference">Scorer of π_ref that gives every token after a text.</param>
    public static ToolCallValues Of(ToolCallTask task, Scorer reference, Problem problem, double eta) => AtModel(task, reference, problem, [], eta);

    /// <summary>At a text that the model is to go on with.</summary>
    private static ToolCallValues AtModel(ToolCallTask task, Scorer reference, Problem problem, int[] response, double eta)
    {
        List<(double Chance, ToolCallValues Values)> choices = [];
        foreach ((int token, float logProb) in reference.Score([.. problem.Prompt, .. response]).LastTop)
        {
            if (token >= task.Vocabulary) continue;
            int[] longer = [.. response, token];
            choices.Add((Math.Exp(logProb), ToolCallTask.State(longer).Turn switch
            {
                ToolCallTask.Turn.Lost => default,
                ToolCallTask.Turn.Done => Certain(task.Reward(problem, longer)),
                ToolCallTask.Turn.Answer => AtTool(task, reference, problem, longer, eta),
                _ => AtModel(task, reference, problem, longer, eta),
            }));
        }
        double naive = LogMeanExp(choices.Select(choice => (choice.Chance, choice.Values.Naive)), eta);
        return new ToolCallValues(
            choices.Sum(choice => choice.Chance * choice.Values.Reference),
            LogMeanExp(choices.Select(choice => (choice.Chance, choice.Values.Soft)), eta),
            naive,
            // π/π_ref = exp((Q − V)/η), so η·ln of it is Q − V.
            choices.Sum(choice => choice.Chance * Math.Exp((choice.Values.Naive - naive) / eta) * (choice.Values.NaiveObjective - (choice.Values.Naive - naive))));
    }

    /// <summary>At a text that a tool is to answer.</summary>
    private static ToolCallValues AtTool(ToolCallTask task, Scorer reference, Problem problem, int[] response, double eta)
    {
        (double Chance, ToolCallValues Values)[] answers =
            [.. ToolCallTask.Answers(problem, response[^1]).Select(answer => (answer.Chance, AtModel(task, reference, problem, [.. response, answer.Number], eta)))];
        return new ToolCallValues(
            answers.Sum(answer => answer.Chance * answer.Values.Reference), answers.Sum(answer => answer.Chance * answer.Values.Soft),
            LogMeanExp(answers.Select(answer => (answer.Chance, answer.Values.Naive)), eta), answers.Sum(answer => answer.Chance * answer.Values.NaiveObjective));
    }

    private static ToolCallValues Certain(double reward) => new(reward, reward, reward, reward);

    private static double LogMeanExp(IEnumerable<(double Chance, double Value)> values, double eta)
    {
        double most = values.Max(each => each.Value);
        return most + eta * Math.Log(values.Sum(each => each.Chance * Math.Exp((each.Value - most) / eta)));
    }
}
