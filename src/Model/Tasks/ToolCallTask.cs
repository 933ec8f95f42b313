using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A model that calls tools whose answers are a matter of luck. A prompt describes two tools, each by a low number, a high one
/// and the odds of the latter in tenths: <c>a 4 5 3 b 1 9 2 =</c>. The model calls one of them, the tool writes its number, and
/// the model reports it (<c>! 9</c>) or calls once more and reports that one. The reward is the number reported, in ninths, and 0
/// for anything that is not the last answer. One tool is steady; the other, wild, has the higher number and mostly the lower mean.
/// <para>Tokens: digits, <c>a</c>, <c>b</c>, <c>!</c>, <c>=</c>. What tools are worth is known by enumeration
/// (<see cref="ToolCallValues"/>), for there are but two answers to a call.</para>
/// </summary>
public sealed class ToolCallTask : IInteractiveTask
{
    /// <summary>The largest number, worth a reward of 1.</summary>
    public const int Largest = 9;

    /// <summary>Calls of a response, at most.</summary>
    public const int MostCalls = 2;

    public const int FirstTool = 10, SecondTool = 11, Report = 12, EqualSign = 13;

    // How π_ref behaves, which learns from these: it reports the first answer mostly, and copies a number rightly mostly.
    private const float ReportsAtOnce = 0.8f, CopiesRightly = 0.9f;

    // A tenth of all prompts is held out, the rest is halved.
    private const uint Buckets = 20, TestBuckets = 2, PostTrainBuckets = 9;
    private const ulong SplitKey = 0x5147_544F_4F4C;

    /// <summary>Whose turn it is after a response so far.</summary>
    public enum Turn
    {
        /// <summary>The model's, to call or to report.</summary>
        Choice,

        /// <summary>A tool's.</summary>
        Answer,

        /// <summary>The model's, to say the number that it reports.</summary>
        Number,

        /// <summary>Nobody's: the number was reported.</summary>
        Done,

        /// <summary>Nobody's: whatever comes, the reward is 0.</summary>
        Lost,
    }

    public string Fingerprint => "tool-call";

    public string Settings => FormattableString.Invariant($"{Fingerprint}, {MostCalls} calls");

    public string Source => Fingerprint;

    public bool IsText => false;

    public int Vocabulary => EqualSign + 1;

    /// <summary>A digit of the model's own ends a response: it is a report, or a mistake.</summary>
    public IReadOnlyList<int> Stops { get; } = [.. Enumerable.Range(0, Largest + 1), EqualSign];

    public int PromptLimit => 9;

    public int ResponseLimit => 2 * MostCalls + 2;

    /// <summary>
    /// Problem <paramref name="index"/>, a pure function of (key, index). For pre-training its answer is one of π_ref's teacher; for
    /// the other splits there is none, for the best response depends on the tools' answers.
    /// </summary>
    public Problem Problem(Split split, ulong key, long index)
    {
        PhiloxStream random = new(key, (ulong)index << 20);
        int[] prompt;
        do prompt = Prompt(ref random);
        while (SplitOf(prompt) != split);
        Problem problem = new(prompt, []);
        return split == Split.Pretrain ? Behaviour(problem, ref random) : problem;
    }

    /// <exception cref="UserException">There are not that many different held-out prompts.</exception>
    public Problem[] TestProblems(ulong key, int count)
    {
        Dictionary<string, Problem> problems = [];
        for (long index = 0; problems.Count < count; index++)
        {
            if (index > 1000L + 100L * count)
                throw new UserException($"--test-problems {count}: only {problems.Count} different held-out prompts were found; ask for fewer.");
            Problem problem = Problem(Split.Test, key, index);
            problems.TryAdd(Text(problem.Prompt), problem);
        }
        return [.. problems.Values];
    }

    public float Reward(Problem problem, ReadOnlySpan<int> response) => State(response) is (Turn.Done, int answer) ? answer / (float)Largest : 0;

    public string Answer(Problem problem, ReadOnlySpan<int> response) => State(response) is (Turn.Done, int answer) ? Text([answer]) : "";

    public bool AreSame(string representative, string answer) => representative == answer;

    public int[] Reply(Problem problem, ReadOnlySpan<int> response, ref PhiloxStream random)
    {
        if (State(response).Turn != Turn.Answer) return [];
        float chance = random.NextUniform();
        foreach ((int number, double odds) in Answers(problem, response[^1]))
            if ((chance -= (float)odds) < 0) return [number];
        return [Answers(problem, response[^1])[^1].Number];
    }

    /// <summary>The law of a tool's answers.</summary>
    public static (int Number, double Chance)[] Answers(Problem problem, int tool)
    {
        ReadOnlySpan<int> description = problem.Prompt.AsSpan(problem.Prompt.AsSpan().IndexOf(tool) + 1, 3);
        double high = description[2] / 10.0;
        return [(description[0], 1 - high), (description[1], high)];
    }

    /// <summary>Whose turn it is, and the last answer, −1 before the first.</summary>
    public static (Turn Turn, int Answer) State(ReadOnlySpan<int> response)
    {
        int answer = -1, calls = 0;
        for (int t = 0; t < response.Length; t++)
        {
            int left = response.Length - t - 1;
            if (response[t] is FirstTool or SecondTool && calls++ < MostCalls)
            {
                if (left == 0) return (Turn.Answer, answer);
                answer = response[++t];
            }
            else if (response[t] == Report && answer >= 0)
            {
                return left == 0 ? (Turn.Number, answer) : (left == 1 && response[^1] == answer ? Turn.Done : Turn.Lost, answer);
            }
            else
            {
                return (Turn.Lost, answer);
            }
        }
        return (Turn.Choice, answer);
    }

    /// <summary>For people: <c>a453b192=</c>.</summary>
    public string Text(ReadOnlySpan<int> tokens)
    {
        System.Text.StringBuilder text = new();
        foreach (int token in tokens) text.Append("0123456789ab!="[token]);
        return text.ToString();
    }

    private static int[] Prompt(ref PhiloxStream random)
    {
        int steady = 2 + random.NextInt(5), low = random.NextInt(3);
        int[] steadyTool = [steady, steady + random.NextInt(3), 1 + random.NextInt(9)], wildTool = [low, 7 + random.NextInt(3), 1 + random.NextInt(6)];
        bool isFirst = random.NextInt(2) == 0;
        return [FirstTool, .. isFirst ? steadyTool : wildTool, SecondTool, .. isFirst ? wildTool : steadyTool, EqualSign];
    }

    private Problem Behaviour(Problem problem, ref PhiloxStream random)
    {
        List<int> response = [];
        List<bool> replies = [];
        for (int calls = 1; ; calls++)
        {
            response.Add(random.NextInt(2) == 0 ? FirstTool : SecondTool);
            response.AddRange(Reply(problem, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(response), ref random));
            replies.AddRange([false, true]);
            if (calls == MostCalls || random.NextUniform() < ReportsAtOnce) break;
        }
        int answer = response[^1], number = random.NextUniform() < CopiesRightly ? answer : (answer + 1 + random.NextInt(Largest)) % (Largest + 1);
        return problem with { Answer = [.. response, Report, number], Replies = [.. replies, false, false] };
    }

    private static Split SplitOf(int[] prompt)
    {
        uint bucket = 0;
        foreach (int token in prompt) bucket = Philox.Block(SplitKey, bucket, (uint)token, 0, 0).X0;
        bucket %= Buckets;
        if (bucket < TestBuckets) return Split.Test;
        return bucket < TestBuckets + PostTrainBuckets ? Split.PostTrain : Split.Pretrain;
    }
}
