namespace QSharp.Model;

/// <summary>One token that bears loss: the state it was drawn from, itself, and what came of it.</summary>
/// <param name="State">Row of the file of hidden states.</param>
/// <param name="Weight">1 over the loss tokens of its response, so that every response counts alike (method notes §2.5).</param>
/// <param name="Position">Index among the loss tokens of its response.</param>
public readonly record struct LossToken(long State, int Token, float Return, float Weight, int Position);

/// <summary>The loss tokens of some roll-outs, in a new random order each epoch; the last incomplete batch of an epoch is filled from the next one.</summary>
public sealed class HiddenSource
{
    private readonly LossToken[] _tokens;
    private readonly EpochOrder _order;

    /// <param name="firstStates">For each sample of the data set, the row of its response's first state.</param>
    /// <param name="which">Tokens that bear loss.</param>
    public HiddenSource(IReadOnlyList<Rollout> rollouts, IReadOnlyList<long> firstStates, ulong key, LossTokens? which = null)
    {
        which ??= LossTokens.All;
        List<LossToken> tokens = [];
        foreach (Rollout rollout in rollouts)
        {
            float weight = 1f / which.Count(rollout);
            for (int t = rollout.FirstLossToken; t < which.End(rollout); t++)
            {
                long state = firstStates[checked((int)rollout.Sample)] + t - rollout.PromptLength;
                tokens.Add(new LossToken(state, rollout.Tokens[t], rollout.Reward, weight, t - rollout.FirstLossToken));
            }
        }
        _tokens = [.. tokens];
        _order = new EpochOrder(_tokens.Length, key);
        MeanWeight = rollouts.Count / (float)Math.Max(1, _tokens.Length);
        MeanReturn = rollouts.Count == 0 ? 0 : rollouts.Average(rollout => rollout.Reward);
    }

    public IReadOnlyList<LossToken> Tokens => _tokens;

    public float MeanWeight { get; }

    public double MeanReturn { get; }

    /// <summary>Token <paramref name="index"/> of a step.</summary>
    /// <param name="step">From 1.</param>
    public LossToken Draw(int step, int index, int perStep) => _tokens[_order[(step - 1L) * perStep + index]];
}
