namespace QSharp.Model;

/// <summary>Which part of a task's problems is meant; the parts share none.</summary>
public enum Split
{
    Pretrain,
    PostTrain,
    Test,
}

/// <summary>One problem: the prompt's tokens, and the tokens of its answer where there is but one.</summary>
public record Problem(int[] Prompt, int[] Answer)
{
    /// <summary>[answer]: which of its tokens an environment wrote (<see cref="IInteractiveTask"/>); null: none.</summary>
    public bool[]? Replies { get; init; }
}

/// <summary>A source of prompts and the judge of responses, the same in training and in evaluation.</summary>
public interface ITask
{
    /// <summary>Name and settings in one line. Models and data sets of another task or vocabulary are refused by it.</summary>
    string Fingerprint { get; }

    /// <summary>Everything that shapes the problems and their rewards, in one line.</summary>
    string Settings { get; }

    /// <summary>Whose problems they are, in one line: a data set is learned from by the task that it was collected for. Files that are not at hand are left out of it.</summary>
    string Source { get; }

    /// <summary>How many different problems there are to learn from: problem i + this is problem i over again. <see cref="long.MaxValue"/>: each is drawn anew.</summary>
    long TrainingProblems => long.MaxValue;

    /// <summary>Whether prompts and responses are text in the model's own tokens, so that any language model fits.</summary>
    bool IsText { get; }

    /// <summary>Ids in use: 0 … Vocabulary − 1.</summary>
    int Vocabulary { get; }

    /// <summary>Tokens that end a response before its limit.</summary>
    IReadOnlyList<int> Stops { get; }

    /// <summary>The longest prompt, in tokens.</summary>
    int PromptLimit { get; }

    /// <summary>The longest response, in tokens.</summary>
    int ResponseLimit { get; }

    /// <summary>Problem <paramref name="index"/> of a split, a pure function of (key, index).</summary>
    Problem Problem(Split split, ulong key, long index);

    /// <summary>At most <paramref name="count"/> held-out problems, all different.</summary>
    Problem[] TestProblems(ulong key, int count);

    /// <summary>The reward of a finished response, in [0, 1].</summary>
    float Reward(Problem problem, ReadOnlySpan<int> response);

    /// <summary>Tokens as people read them.</summary>
    string Text(ReadOnlySpan<int> tokens);

    /// <summary>What a response says, for votes; empty where it says nothing.</summary>
    string Answer(Problem problem, ReadOnlySpan<int> response);

    /// <summary>Whether two answers vote together: a class's first member and a new answer.</summary>
    bool AreSame(string representative, string answer);
}
