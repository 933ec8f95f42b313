namespace QSharp.Model;

/// <summary>
/// One sample of Algorithm 1: a prompt, a response of which the first tokens were kept from the roll-in and the rest was
/// rolled out by π_ref, and the reward of the whole.
/// </summary>
/// <param name="Problem">Which of the task's training problems it is: the same number for every sample of one prompt, in all rounds.</param>
/// <param name="Sample">Index of the sample in the data set; also its stream of random numbers.</param>
/// <param name="Round">1, 2, …</param>
/// <param name="Tokens">Prompt and response.</param>
/// <param name="Kept">Response tokens kept from the roll-in; 0 where π_ref gave the whole response.</param>
/// <param name="Lambda">λ of the roll-in policy; 0 for π_ref.</param>
public sealed record Rollout(long Problem, long Sample, int Round, int[] Tokens, int PromptLength, int Kept, float Lambda, float Reward)
{
    /// <summary>
    /// Index of the first token that bears the return of π_ref: the last kept one (drawn by the roll-in policy, continued
    /// by π_ref) or, without a roll-in, the first of the response. Every later token does too.
    /// </summary>
    public int FirstLossToken => PromptLength + Math.Max(Kept - 1, 0);

    /// <summary>[tokens]: which of them an environment wrote (<see cref="IInteractiveTask"/>); null where all are the model's and the prompt's.</summary>
    public bool[]? Replies { get; init; }
}
