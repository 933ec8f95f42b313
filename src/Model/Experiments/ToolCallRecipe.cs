using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Settings of the tool-call experiment. What they are known to reach stands in docs/stochastic.md.</summary>
public sealed record ToolCallRecipe(PretrainRecipe Reference, GuideRecipe Guide, long Rollouts)
{
    /// <summary>η of the soft values is to be set.</summary>
    public static ToolCallRecipe Usual(ToolCallTask task) => new(
        new PretrainRecipe(
            TransformerConfig.Gpt2(2, 64, 4, task.Vocabulary, task.PromptLimit + task.ResponseLimit, tiedHead: false), Steps: 600, Rate: 3e-3f, Warmup: 100, Batch: 64),
        // Atoms at ninths: rewards lie on them. All tokens are candidates, so that nothing lies outside.
        new GuideRecipe(
            new ValueSettings(HeadKind.Q, ReturnFamily.Categorical(0, 1, ToolCallTask.Largest + 1), BidirectionalPrompt: false),
            Steps: 2000, Rate: 1e-3f, Warmup: 100, Batch: 64, Candidates: task.Vocabulary, Outside.Truncate, FinalRateShare: 0.05f),
        Rollouts: 40_000);
}
