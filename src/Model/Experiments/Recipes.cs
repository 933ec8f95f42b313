using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>How a reference is trained from scratch.</summary>
/// <param name="Batch">Sequences of a step.</param>
public sealed record PretrainRecipe(TransformerConfig Model, int Steps, float Rate, int Warmup, int Batch);

/// <summary>How a guide is learned from roll-outs of π_ref, and how it decodes.</summary>
/// <param name="Batch">Roll-outs of a step; tokens for a shared trunk.</param>
/// <param name="Steps">0: as many as <paramref name="Epochs"/> make.</param>
/// <param name="Candidates">K: tokens that the guide scores at each step, or <see cref="AllCandidates"/>.</param>
/// <param name="Outside">The tilt of all other tokens.</param>
/// <param name="Temperature">Of π_ref, in collecting and in decoding.</param>
/// <param name="TopP">Of π_ref, in collecting and in decoding.</param>
/// <param name="Epochs">Times through the roll-outs.</param>
/// <param name="FinalRateShare">What is left of the learning rate at the end.</param>
/// <param name="Order">Whether these shape π_ref before the tilt or π after it.</param>
public sealed record GuideRecipe(
    ValueSettings Settings, int Steps, float Rate, int Warmup, int Batch, int Candidates, Outside Outside, float Temperature = 1, float TopP = 1,
    Order Order = Order.TemperThenTilt, int Epochs = 3, float FinalRateShare = 1, float WeightDecay = 0)
{
    /// <summary>In place of K: every token, by rejection sampling (method notes §3.5).</summary>
    public const int AllCandidates = 0;

    /// <summary>
    /// Where nothing else is said of a text. Tokens that are no candidates get the least tilt of those that are: the exact
    /// tail mean leans on the head being exact, and cost twice the KL for the same reward in docs/text.md.
    /// </summary>
    public static GuideRecipe Text { get; } = new(
        new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false), Steps: 0, Rate: 3e-4f, Warmup: 100, Batch: 32, Candidates: 20, Outside.Min)
    { HeldOut = 0.1f };

    /// <summary>A head on π_ref's own hidden states, on text; the settings that the method notes measured (§2.3).</summary>
    public static GuideRecipe SharedTrunk { get; } = Text with
    {
        Settings = new ValueSettings(HeadKind.Q, ReturnFamily.Bernoulli, BidirectionalPrompt: false),
        Batch = 512,
        Epochs = 4,
        FinalRateShare = 0,
        WeightDecay = 0.1f,
        HeadHidden = SharedHeadShape.UsualHidden,
    };

    /// <summary>F of a shared-trunk head; 0 for a guide with a trunk of its own.</summary>
    public int HeadHidden { get; init; }

    public bool SharesTrunk => HeadHidden > 0;

    /// <summary>Where the head of a trunk of its own starts from.</summary>
    public HeadInit HeadInit { get; init; }

    /// <summary>Share of the problems that is held out to tell which parameters to keep.</summary>
    public float HeldOut { get; init; }

    /// <summary>Roll-outs of a round where none are asked for: one pass over fresh ones.</summary>
    public int Rollouts => Steps * Batch;

    /// <summary>π_ref as it is sampled.</summary>
    public GuidanceRule Reference => GuidanceRule.Reference(Temperature, TopP);

    /// <summary>To decode from a finished guide, whose outputs mean what it says, whatever this recipe would learn.</summary>
    public GuideRecipe With(IGuide? guide) => guide is null ? this : this with { Settings = guide.Settings };

    /// <summary>Guided decoding as a method has it.</summary>
    public GuidanceRule Rule(ValueMethod method, double eta) =>
        Rule(method.Tilt, method.FixedEta ?? eta) with { Outside = Outside == Outside.Truncate ? Outside : method.Outside ?? Outside };

    /// <summary>Guided decoding at an η; infinite η is π_ref.</summary>
    public GuidanceRule Rule(Tilt tilt, double eta) => new(tilt, Settings.Family, (float)(1 / eta), Outside, Temperature, TopP, Order);
}
