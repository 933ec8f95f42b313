using QSharp.Engine;
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
    /// <summary>In place of K: every token. A Q-type guide scores all of them; from a V-type one it is drawn by rejection (method notes §3.5).</summary>
    public const int AllCandidates = 0;

    /// <summary>Refuses what drawing by rejection cannot do.</summary>
    /// <param name="guide">Settings of the guide that is decoded with.</param>
    /// <exception cref="UserException">Every token of a V-type guide, greedily or tilted first.</exception>
    public void RequireDraws(ValueSettings guide)
    {
        if (Candidates == AllCandidates && guide.Kind == HeadKind.V && !RejectionSampling.Draws((this with { Settings = guide }).Rule(Tilt.LogMeanExp, 1)))
            throw new UserException("--candidates all draws from a V-type guide by rejection: temperature first, then the tilt, and by chance; so it goes with neither --order official nor --temperature 0. Give a number of candidates, or a guide with a Q-type head.");
    }

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

    /// <summary>λ that is added to that of a guide for one η: ln σ(ℓ) is the limit of Q♯'s tilt of a chance, but for a constant that cancels; so it is off by e^(−64) of the least that such a guide can say.</summary>
    private const float LogarithmLambda = 64;

    /// <summary>How a Q♯ guide's outputs are compared with returns.</summary>
    public ReturnLoss Loss { get; init; } = ReturnLoss.CrossEntropy;

    /// <summary>Tokens that bear loss.</summary>
    public LossTokens LossTokens { get; init; } = LossTokens.All;

    /// <summary>Most rows of a step times the longest of them, for a trunk of its own; 0: no limit, and all rows as wide as the longest of all.</summary>
    public int BatchTokens { get; init; }

    /// <summary>Layers of a trunk of its own, the first ones of the model that it starts from; 0: all of them.</summary>
    public int Layers { get; init; }

    /// <summary>Where the head of a trunk of its own starts from.</summary>
    public HeadInit HeadInit { get; init; }

    /// <summary>Share of the problems that is held out to tell which parameters to keep.</summary>
    public float HeldOut { get; init; }

    /// <summary>The one η that a guide is learned for, where its method or its loss is for one alone.</summary>
    public double Eta { get; init; } = double.PositiveInfinity;

    /// <summary>Roll-outs of a round where none are asked for: one pass over fresh ones.</summary>
    public long Rollouts => (long)Steps * Batch;

    /// <summary>π_ref as it is sampled.</summary>
    public GuidanceRule Reference => GuidanceRule.Reference(Temperature, TopP);

    /// <summary>What the guide is that a method learns so.</summary>
    public ValueSettings Learned(ValueMethod method)
    {
        ValueTarget target = method.IsSoftBellman ? ValueTarget.SoftValue : Loss.Kind == ReturnLossKind.Exponential ? ValueTarget.Exponential : ValueTarget.Return;
        return Settings with { Target = target, Eta = target == ValueTarget.Return ? null : Eta, HasPromptValue = LossTokens.PromptEnd };
    }

    /// <summary>To decode from a finished guide, whose outputs mean what it says, whatever this recipe would learn.</summary>
    public GuideRecipe With(IGuide? guide) => guide is null ? this : this with { Settings = guide.Settings };

    /// <summary>Guided decoding as a method has it, at an η; infinite η is π_ref.</summary>
    /// <exception cref="UserException">The guide's outputs are not for it.</exception>
    public GuidanceRule Rule(ValueMethod method, double eta)
    {
        Settings.Require(method, eta);
        return Rule(method.Tilt, method.FixedEta ?? eta) with { Outside = Outside == Outside.Truncate ? Outside : method.Outside ?? Outside };
    }

    /// <summary>Guided decoding by any function of the reward.</summary>
    public GuidanceRule RuleOfWeights => new(Tilt.Weighted, Settings.Family, 0, Outside, Temperature, TopP, Order);

    private GuidanceRule Rule(Tilt tilt, double eta)
    {
        float lambda = (float)(1 / eta);
        if (Settings.Target == ValueTarget.Exponential && lambda != 0) lambda += LogarithmLambda;
        return new GuidanceRule(tilt, Settings.Family, lambda, Outside, Temperature, TopP, Order);
    }
}
