using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A value model with its own cache. V-type: the candidates go through it as siblings, and the drawn one's column stays: one
/// pass a token (method notes §3.4). Q-type: the drawn token goes through it.
/// </summary>
internal sealed class OwnTrunkState : GuideState
{
    private readonly ValueModel _guide;
    private readonly TiledHead? _all;

    /// <param name="candidates">K; <see cref="GuideRecipe.AllCandidates"/> for a Q-type head that scores every token.</param>
    public OwnTrunkState(ValueModel guide, SamplerShape shape, int candidates)
    {
        _guide = guide;
        Cache = new CachedModel(guide, shape.Rows, shape.PromptSlots, shape.PromptTokens, shape.NewTokens, guide.Head.ReadsAtToken ? candidates : 1);
        try
        {
            if (candidates == GuideRecipe.AllCandidates) _all = new TiledHead(guide, shape.Rows, shape.Vocabulary);
        }
        catch
        {
            Cache.Dispose();
            throw;
        }
    }

    public CachedModel Cache { get; }

    public override void Start(PromptSlots slots, ReadOnlySpan<int> lengths, Tensor source) =>
        Cache.Start(slots, lengths, _guide.Settings.BidirectionalPrompt ? CacheLayout.Prompt : CacheLayout.Sequence, source);

    public override void ScoreNext(Tensor tokens, Tensor outputs) => Cache.ScoreNext(tokens, Tensor.None, outputs);

    public override TokenLogits ScoreAll() => _all!.Forward(Cache.Hidden);

    public override void ScorePrompts(Tensor outputs) => _guide.Head.Forward(Cache.Hidden, Tensor.None, outputs);

    public override void Take(in DrawnTokens drawn)
    {
        if (!_guide.Head.ReadsAtToken)
        {
            Cache.Append(drawn.Next, drawn.Running);
            Cache.Select(drawn.Source);
            return;
        }
        _guide.Trunk.KeepSibling(Cache.Cache, drawn.Chosen);
        if (!drawn.Outside.IsNone)
        {
            // Such a token has no column yet: one more pass for those rows alone.
            _guide.Ops.Copy(drawn.Next, Cache.Single.Tokens);
            _guide.Trunk.Extend(drawn.Outside, Cache.Cache, CacheLayout.Sequence, Cache.Single);
        }
        _guide.Ops.Advance(Cache.Cache.Lengths, drawn.Running, 1);
    }

    public override void Dispose()
    {
        _all?.Dispose();
        Cache.Dispose();
    }
}
