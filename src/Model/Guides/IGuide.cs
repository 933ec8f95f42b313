using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a guide's outputs speak of.</summary>
public enum ValueTarget
{
    /// <summary>The return R: its law, which serves every η.</summary>
    Return,

    /// <summary>e^((R − max)/η), by its log-odds (method notes §2.1).</summary>
    Exponential,

    /// <summary>The soft value at η of the text after the token and after what an environment writes to it: its law (method notes §4.7).</summary>
    SoftValue,
}

/// <summary>What a guide's outputs mean and how it reads prompts.</summary>
/// <param name="BidirectionalPrompt">
/// Every prompt token attends to the whole prompt; response tokens stay causal. A departure from causal language models
/// that lets the guide see a graph whole (docs/star-graph.md).
/// </param>
public sealed record ValueSettings(HeadKind Kind, ReturnFamily Family, bool BidirectionalPrompt)
{
    /// <summary>Whether the head of a trunk of its own has a bias.</summary>
    public bool HasBias { get; init; } = true;

    /// <summary>
    /// Whether a head that reads a token's value at the token has been trained at the last one of prompts too, so that it says Z of a
    /// prompt itself. One that reads before the token has only the values of what may follow.
    /// </summary>
    public bool HasPromptValue { get; init; }

    public ValueTarget Target { get; init; }

    /// <summary>The one η that the outputs are for; null where they speak of the return, which serves all.</summary>
    public double? Eta { get; init; }

    /// <summary>Refuses a way of decoding that the outputs are not for.</summary>
    /// <exception cref="UserException">They were learned for another method, or for another η.</exception>
    public void Require(ValueMethod method, double eta)
    {
        bool isSoft = Target == ValueTarget.SoftValue;
        if (Target == ValueTarget.Return && method.IsSoftBellman)
            throw new UserException($"This guide holds the law of the return and not soft values; {method.Name} decodes from a guide that 'qsharp train --method {method.Name}' has made.");
        if (Eta is not { } only || (method.IsSoftBellman == isSoft && !method.IsOfMeans && (eta == only || double.IsInfinity(eta)))) return;
        (string how, string by) = isSoft ? ("--method qsharp-td", "qsharp-td") : ("--loss exponential", "qsharp");
        throw new UserException(FormattableString.Invariant(
            $"This guide was learned with {how} for η = {only} alone, so it does not decode by {method.Name} at --eta {eta}; take {by} and --eta {only}."));
    }
}

/// <summary>
/// What steers a frozen π_ref: the distribution Z(x, y) of the reward-to-go under it, for tokens y that may come next. Either a
/// value model with a trunk of its own (<see cref="ValueModel"/>) or a head on π_ref's hidden states (<see cref="SharedTrunkGuide"/>).
/// </summary>
public interface IGuide : IDisposable
{
    ValueSettings Settings { get; }

    /// <summary>Tokens that it knows.</summary>
    int Vocabulary { get; }

    /// <summary>Parameters of its own.</summary>
    long ParameterCount { get; }

    /// <summary>The longest text it reads; <see cref="int.MaxValue"/> where it is as long as π_ref's.</summary>
    int LongestText { get; }

    /// <summary>Layer of π_ref whose states it reads, 1 the first; 0: the last one's, after the final norm, or none at all.</summary>
    int ReferenceLayer { get; }

    /// <summary>Memory for guiding a batch.</summary>
    /// <param name="reference">π_ref on the same batch, with the states of <see cref="ReferenceLayer"/>.</param>
    /// <param name="candidates">K: tokens scored at each step; <see cref="GuideRecipe.AllCandidates"/> for a Q-type guide that scores all of the shape's vocabulary.</param>
    internal GuideState Open(CachedModel reference, SamplerShape shape, int candidates);
}

/// <summary>A guide at work on a batch: what it keeps of the tokens so far.</summary>
internal abstract class GuideState : IDisposable
{
    /// <summary>Rows take other prompts; see <see cref="CachedModel.Start"/>.</summary>
    public abstract void Start(PromptSlots slots, ReadOnlySpan<int> lengths, Tensor source);

    /// <summary>The logits of Z for several tokens that may come next in each row.</summary>
    /// <param name="tokens">[R, K] I32.</param>
    /// <param name="outputs">[R, K, A].</param>
    public abstract void ScoreNext(Tensor tokens, Tensor outputs);

    /// <summary>The logits of Z for every token that may come next in each row. Of a Q-type guide, opened for it.</summary>
    public abstract TokenLogits ScoreAll();

    /// <summary>The logits of Z at the last tokens of the prompts, for the rows that start there. Of a guide that <see cref="ValueSettings.HasPromptValue"/>.</summary>
    /// <param name="outputs">[R, A]; those of other rows mean nothing.</param>
    public virtual void ScorePrompts(Tensor outputs) => throw new NotSupportedException("This guide has no value of a prompt.");

    /// <summary>Takes the drawn tokens in.</summary>
    public abstract void Take(in DrawnTokens drawn);

    public abstract void Dispose();
}

/// <summary>Value logits of every token.</summary>
/// <param name="Logits">[R, n, A, W] (<see cref="TokenTiles"/>).</param>
/// <param name="Bias">[R, A], added to those of every token; or None.</param>
internal readonly record struct TokenLogits(Tensor Logits, Tensor Bias);

/// <summary>One token a row.</summary>
/// <param name="Next">[R] I32.</param>
/// <param name="Chosen">[R] I32: index among the candidates, −1 for none of them.</param>
/// <param name="Running">[R] I32: 1 where the row goes on; the token of another row is none.</param>
/// <param name="Outside">[R] I32: 1 where the token is none of the candidates; None where there is no such row.</param>
/// <param name="Source">[R] I32; see <see cref="CachedModel.Select"/>.</param>
internal readonly record struct DrawnTokens(Tensor Next, Tensor Chosen, Tensor Running, Tensor Outside, Tensor Source);
