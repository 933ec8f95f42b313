using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A value model with its own cache. V-type: the candidates go through it as siblings, and the drawn one's column stays: one
/// pass a token (method notes §3.4). Q-type: the drawn token goes through it.
/// </summary>
/// <param name="candidates">K; <see cref="GuideRecipe.AllCandidates"/> for a Q-type head that scores every token.</param>
internal sealed class OwnTrunkState(ValueModel guide, SamplerShape shape, int candidates) : GuideState
{
    private readonly Ops _ops = guide.Ops;
    private readonly TiledHead? _all = candidates == GuideRecipe.AllCandidates ? new TiledHead(guide, shape.Rows, shape.Vocabulary) : null;

    public CachedModel Cache { get; } = new(guide, shape.Rows, shape.PromptSlots, shape.PromptTokens, shape.NewTokens, guide.Head.ReadsAtToken ? candidates : 1);

    public override void Start(PromptSlots slots, ReadOnlySpan<int> lengths, Tensor source) =>
        Cache.Start(slots, lengths, guide.Settings.BidirectionalPrompt ? CacheLayout.Prompt : CacheLayout.Sequence, source);

    public override void ScoreNext(Tensor tokens, Tensor outputs) => Cache.ScoreNext(tokens, Tensor.None, outputs);

    public override TokenLogits ScoreAll() => _all!.Forward(Cache.Hidden);

    public override void ScorePrompts(Tensor outputs) => guide.Head.Forward(Cache.Hidden, Tensor.None, outputs);

    public override void Take(in DrawnTokens drawn)
    {
        if (!guide.Head.ReadsAtToken)
        {
            Cache.Append(drawn.Next, drawn.Running);
            Cache.Select(drawn.Source);
            return;
        }
        guide.Trunk.KeepSibling(Cache.Cache, drawn.Chosen);
        if (!drawn.Outside.IsNone)
        {
            // Such a token has no column yet: one more pass for those rows alone.
            _ops.Copy(drawn.Next, Cache.Single.Tokens);
            guide.Trunk.Extend(drawn.Outside, Cache.Cache, CacheLayout.Sequence, Cache.Single);
        }
        _ops.Advance(Cache.Cache.Lengths, drawn.Running, 1);
    }

    public override void Dispose()
    {
        _all?.Dispose();
        Cache.Dispose();
    }
}
