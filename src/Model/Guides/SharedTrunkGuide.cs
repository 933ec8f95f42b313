using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A guide without a transformer of its own: a head on π_ref's hidden states, which decoding has in hand anyway (method notes
/// §2.3). A few megabytes; a candidate costs one dot product with π_ref's own token embedding. It reads the state before the
/// token, so it is of the Q-type.
/// </summary>
public sealed class SharedTrunkGuide : IGuide
{
    private readonly DeviceBuffer _memory;

    /// <param name="reference">π_ref, whose token table is read; not disposed with the guide.</param>
    /// <param name="hidden">F: width of the head's own layer.</param>
    /// <param name="layer">Of π_ref, whose states the head reads; see <see cref="ReferenceLayer"/>.</param>
    public SharedTrunkGuide(LanguageModel reference, ReturnFamily family, int hidden, int layer = 0)
    {
        Reference = reference;
        ReferenceLayer = layer;
        Settings = new ValueSettings(HeadKind.Q, family, BidirectionalPrompt: false);
        Shape = new SharedHeadShape(reference.Config.Width, hidden, family.Atoms);
        (Weights, _memory) = Arena.Build(reference.Ops.Device, arena => new SharedHeadWeights(Shape, reference.ActivationType, arena));
    }

    public LanguageModel Reference { get; }

    /// <summary>Of the Q-type, prompts read as π_ref reads them.</summary>
    public ValueSettings Settings { get; init; }

    public SharedHeadShape Shape { get; }

    /// <summary>Such that the logits are against the token table as it is (<see cref="TokenTable.Fold"/>).</summary>
    public SharedHeadWeights Weights { get; }

    public int Vocabulary => Reference.Config.Vocab;

    public long ParameterCount => Weights.Count;

    public int LongestText => int.MaxValue;

    public int ReferenceLayer { get; }

    GuideState IGuide.Open(CachedModel reference, SamplerShape shape, int candidates) =>
        new SharedTrunkState(this, reference, shape.Rows, candidates == GuideRecipe.AllCandidates ? shape.Vocabulary : 0);

    public void Dispose() => _memory.Dispose();
}

/// <summary>There is nothing to keep: π_ref's cache has it all.</summary>
internal sealed class SharedTrunkState : GuideState
{
    private readonly SharedTrunkGuide _guide;
    private readonly CachedModel _reference;
    private readonly SharedHead _head;
    private readonly SharedHeadBuffers _buffers;
    private readonly Tensor _logits, _bias;
    private readonly DeviceBuffer _memory;

    /// <param name="vocabulary">Tokens scored at once; 0 where only candidates are.</param>
    public SharedTrunkState(SharedTrunkGuide guide, CachedModel reference, int rows, int vocabulary)
    {
        _guide = guide;
        _reference = reference;
        Ops ops = guide.Reference.Ops;
        _head = new SharedHead(ops, guide.Weights);
        int atoms = guide.Shape.Atoms;
        ((_buffers, _logits, _bias), _memory) = Arena.Build(ops.Device, arena => (
            new SharedHeadBuffers(guide.Shape, rows, guide.Reference.ActivationType, arena),
            vocabulary > 0 ? arena.Take((rows * atoms, vocabulary)) : Tensor.None, vocabulary > 0 ? arena.Take((rows, atoms)) : Tensor.None));
    }

    public override void Start(PromptSlots slots, ReadOnlySpan<int> lengths, Tensor source)
    {
    }

    public override void ScoreNext(Tensor tokens, Tensor outputs)
    {
        Tensor flat = tokens.As((int)tokens.Count);
        _head.Forward(_reference.LayerStates, _guide.Reference.Weights.Tokens, flat, _buffers, outputs.As((flat.Shape.D0, _guide.Shape.Atoms)));
    }

    public override TokenLogits ScoreAll()
    {
        (int rows, int atoms, int vocabulary) = (_bias.Shape.D0, _bias.Shape.D1, _logits.Shape.D1);
        _head.ForwardAll(_reference.LayerStates, _guide.Reference.Weights.Tokens.Range(0, vocabulary), _buffers, _logits, _bias);
        return new TokenLogits(_logits.As((rows, 1, atoms, vocabulary)), _bias);
    }

    public override void Take(in DrawnTokens drawn)
    {
    }

    public override void Dispose() => _memory.Dispose();
}
