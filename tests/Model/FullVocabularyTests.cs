using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Decoding with a guide that scores every token at once: a Q-type value model, or a head on π_ref's hidden states.</summary>
public sealed class FullVocabularyTests
{
    public static TheoryData<bool, FamilyKind> Guides() => new()
    {
        { false, FamilyKind.Bernoulli }, { false, FamilyKind.Categorical }, { true, FamilyKind.Bernoulli }, { true, FamilyKind.Categorical },
    };

    [Theory, MemberData(nameof(Guides))]
    public void Responses_are_those_of_all_tokens_as_candidates_fused_or_naive(bool isShared, FamilyKind family)
    {
        using Rig rig = new(isShared, family);
        using Guidance fused = new FusedGuidance(rig.Base.Ops), naive = new NaiveGuidance(rig.Base.Ops);
        using Sampler candidates = rig.NewSampler(fused, SamplerRig.Vocab), all = rig.NewSampler(fused), chain = rig.NewSampler(naive);
        foreach (GuidanceRule rule in Rules(rig.Base.Family))
        {
            SampleBatch expected = rig.Base.NewBatch(), batch = rig.Base.NewBatch();
            SamplerRig.Draw(candidates, expected, rule);
            foreach (Sampler sampler in (Sampler[])[all, chain])
            {
                SamplerRig.Draw(sampler, batch, rule);
                for (int row = 0; row < batch.Count; row++)
                    SamplerRig.AssertSame($"{rule}{(sampler == chain ? ", naive" : "")}", expected, row, batch, row, 1e-4);
            }
        }
    }

    /// <summary>π_ref's and the guide's tables may be padded beyond the ids in use.</summary>
    [Theory, InlineData(false), InlineData(true)]
    public void Only_ids_in_use_are_scored(bool isShared)
    {
        const int InUse = SamplerRig.Vocab - 4;
        using Rig rig = new(isShared, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Base.Ops);
        using Sampler candidates = rig.NewSampler(fused, InUse, InUse), all = rig.NewSampler(fused, vocabulary: InUse);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Base.Family, 3);
        SampleBatch expected = rig.Base.NewBatch(), batch = rig.Base.NewBatch();
        SamplerRig.Draw(candidates, expected, rule);
        SamplerRig.Draw(all, batch, rule);
        for (int row = 0; row < batch.Count; row++) SamplerRig.AssertSame("in use", expected, row, batch, row, 1e-4);
    }

    [Theory, InlineData(false, true), InlineData(true, true), InlineData(true, false)]
    public void A_warm_sampler_makes_no_device_allocation_and_no_garbage_for_each_token(bool isShared, bool isFused)
    {
        using Rig rig = new(isShared, FamilyKind.Categorical);
        using Guidance guidance = isFused ? new FusedGuidance(rig.Base.Ops) : new NaiveGuidance(rig.Base.Ops);
        using Sampler sampler = rig.NewSampler(guidance);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Base.Family, 2, TopP: 0.9f, Order: Order.TiltThenTemper);
        SampleBatch batch = rig.Base.NewBatch();
        SamplerRig.Draw(sampler, batch, rule);
        long native = rig.Base.Device.Allocations, longRun = Measure();
        for (int row = 0; row < batch.Count; row++) batch.Limits[row] = 1;
        Assert.Equal(Measure(), longRun);
        Assert.Equal(native, rig.Base.Device.Allocations);

        long Measure()
        {
            SamplerRig.Draw(sampler, batch, rule);
            return Allocated.Bytes(() => SamplerRig.Draw(sampler, batch, rule));
        }
    }

    /// <summary>BF16 rows of a head on the CPU are put in order as F32 ones are.</summary>
    [Fact]
    public void A_head_in_BF16_scores_as_its_candidates_do()
    {
        using SamplerRig rig = new("llama", HeadKind.Q, FamilyKind.Categorical);
        using ValueModel guide = new(rig.Ops, rig.Guide.Config, rig.Guide.Settings, DType.BF16);
        Initializer.CopyShared(rig.Ops, rig.Guide.Weights, guide.Weights);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler candidates = new(rig.Reference, guide, fused, SamplerRig.Shape with { Candidates = SamplerRig.Vocab }, []);
        using Sampler all = new(rig.Reference, guide, fused, SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates }, []);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 3);
        SampleBatch expected = rig.NewBatch(), batch = rig.NewBatch();
        SamplerRig.Draw(candidates, expected, rule);
        SamplerRig.Draw(all, batch, rule);
        for (int row = 0; row < batch.Count; row++) SamplerRig.AssertSame("BF16", expected, row, batch, row, 1e-4);
    }

    private static GuidanceRule[] Rules(ReturnFamily family) =>
    [
        new(Tilt.LogMeanExp, family, 2.5f), new(Tilt.LogMeanExp, family, 4, Outside.Min, 0.7f, 0.9f), new(Tilt.Mean, family, -2, TopP: 0.8f),
        new(Tilt.LogMeanExp, family, 3, Outside.Zero, 0.8f, 0.9f, Order.TiltThenTemper), new(Tilt.Mean, family, 3, Outside.Mean, 1.3f, 1, Order.TiltThenTemper),
        new(Tilt.LogMeanExp, family, 3, Temperature: 0), new(Tilt.LogMeanExp, family, 3, Temperature: 0, Order: Order.TiltThenTemper),
    ];

    /// <summary>A sampler rig with either guide.</summary>
    private sealed class Rig : IDisposable
    {
        private readonly IGuide _guide;

        public Rig(bool isShared, FamilyKind family)
        {
            Base = new SamplerRig("llama", HeadKind.Q, family);
            _guide = Base.Guide;
            if (!isShared) return;
            SharedTrunkGuide shared = new(Base.Reference, Base.Family, 24);
            PhiloxStream random = new(3);
            foreach ((_, Tensor value, _) in shared.Weights.Named)
                foreach (ref float x in value.Span<float>()) x = 0.4f * random.NextNormal();
            _guide = shared;
        }

        public SamplerRig Base { get; }

        public Sampler NewSampler(Guidance guidance, int candidates = GuideRecipe.AllCandidates, int vocabulary = 0) =>
            new(Base.Reference, _guide, guidance, SamplerRig.Shape with { Candidates = candidates, Vocabulary = vocabulary }, []);

        public void Dispose()
        {
            if (_guide != Base.Guide) _guide.Dispose();
            Base.Dispose();
        }
    }
}
