using QSharp.Engine;

namespace QSharp.Model;

/// <summary>A right and a wrong response to one prompt, each with the prompt before it.</summary>
public sealed record PreferencePair(int PromptLength, int[] Right, int[] Wrong)
{
    /// <summary>
    /// One pair for each problem with a wrong sample: that, and the problem's own answer, or else a right sample of the same
    /// problem. Problems that lack either are left out.
    /// </summary>
    /// <param name="problemKey">Of the post-training split's problems.</param>
    /// <exception cref="UserException">The roll-outs are of other problems than this key's.</exception>
    public static List<PreferencePair> From(ITask task, IEnumerable<Rollout> rollouts, ulong problemKey)
    {
        List<PreferencePair> pairs = [];
        foreach (IGrouping<long, Rollout> samples in rollouts.GroupBy(rollout => rollout.Problem))
        {
            if (samples.FirstOrDefault(sample => sample.Reward == 0) is not { } wrong) continue;
            Problem problem = task.Problem(Split.PostTrain, problemKey, samples.Key);
            int[] prompt = wrong.Tokens[..wrong.PromptLength];
            if (!prompt.AsSpan().SequenceEqual(problem.Prompt))
                throw new UserException($"Problem {samples.Key} of the data set has another prompt than the task's; give the --seed that it was collected with.");
            int[]? right = problem.Answer.Length > 0 ? [.. prompt, .. problem.Answer] : samples.FirstOrDefault(sample => sample.Reward == 1)?.Tokens;
            if (right is not null) pairs.Add(new PreferencePair(prompt.Length, right, wrong.Tokens));
        }
        return pairs;
    }
}

/// <summary>Pairs in a new random order each epoch; a right response in every even row, its wrong one in the next.</summary>
public sealed class PairSource(IReadOnlyList<PreferencePair> pairs, ulong key) : IBatchSource
{
    private readonly EpochOrder _order = new(pairs.Count, key);

    public int Time { get; } = pairs.Max(pair => Math.Max(pair.Right.Length, pair.Wrong.Length));

    public int LossesPerRow { get; } = pairs.Max(pair => Math.Max(pair.Right.Length, pair.Wrong.Length) - pair.PromptLength);

    public void Fill(int step, TrainBatch batch)
    {
        int count = batch.Rows / 2;
        for (int i = 0; i < count; i++)
        {
            PreferencePair pair = pairs[_order[(step - 1L) * count + i]];
            batch.SetRow(2 * i, pair.Right, pair.PromptLength, bidirectional: 0, readsAtToken: false, rowReturn: 1, 1f / batch.Rows);
            batch.SetRow(2 * i + 1, pair.Wrong, pair.PromptLength, bidirectional: 0, readsAtToken: false, rowReturn: 0, 1f / batch.Rows);
        }
    }
}
