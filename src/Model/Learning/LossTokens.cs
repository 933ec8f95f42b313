namespace QSharp.Model;

/// <summary>Which tokens of a roll-out bear loss (method notes §2.4).</summary>
/// <param name="LastKeptOnly">The last kept token alone, the paper's ablation "single"; else it and all that π_ref went on with.</param>
/// <param name="PromptEnd">
/// The last token of the prompt too, in rows of the first round: their whole response is π_ref's, so the return is one of the prompt.
/// </param>
public sealed record LossTokens(bool LastKeptOnly, bool PromptEnd)
{
    public static LossTokens All { get; } = new(LastKeptOnly: false, PromptEnd: false);

    /// <summary>How much of a row is read: nothing that comes after the last loss matters.</summary>
    public int End(Rollout rollout) => LastKeptOnly ? rollout.FirstLossToken + 1 : rollout.Tokens.Length;

    public bool HasPromptEnd(Rollout rollout) => PromptEnd && rollout.Round == 1;

    public int Count(Rollout rollout) => End(rollout) - rollout.FirstLossToken + (HasPromptEnd(rollout) ? 1 : 0);
}
