namespace QSharp.Kernels;

/// <summary>Every case, one line each, in the order of the folders.</summary>
internal static class OpCases
{
    public static IReadOnlyList<OpCase> All { get; } =
    [
        new GeluCase(),
        new TopKCase(),
        new LogSoftmaxCase(),
        new AtomTiltCase("", ReturnFamily.Bernoulli, Tilt.LogMeanExp, 10),
        new AtomTiltCase("_bernoulli_range", new ReturnFamily(FamilyKind.Bernoulli, -1, 2, 1), Tilt.LogMeanExp, -3),
        new AtomTiltCase("_bernoulli_mean", ReturnFamily.Bernoulli, Tilt.Mean, 10),
        new AtomTiltCase("_categorical", ReturnFamily.Categorical(0, 1, 11), Tilt.LogMeanExp, 10),
        new AtomTiltCase("_categorical_51", ReturnFamily.Categorical(-1, 1, 51), Tilt.LogMeanExp, 300),
        new AtomTiltCase("_categorical_mean", ReturnFamily.Categorical(-1, 1, 17), Tilt.Mean, -5),
        new TopPCase("", 0.8f, 0.9f),
        new TopPCase("_half", 2, 0.5f),
        new TopPCase("_all", 1, 1),
        new TopPCase("_nearly_all", 1, 0.999f),
        new OutsideTiltCase("", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10)),
        new OutsideTiltCase("_negative", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, -3)),
        new OutsideTiltCase("_strong", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 300)),
        new OutsideTiltCase("_mean_tilt", new GuidanceRule(Tilt.Mean, ReturnFamily.Bernoulli, 5)),
        new OutsideTiltCase("_min", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Min)),
        new OutsideTiltCase("_mean", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Mean)),
        new OutsideTiltCase("_truncate", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Truncate)),
        new ScatterCase(),
        new StepStatisticsCase("", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Categorical(0, 1, 5), 10)),
        new StepStatisticsCase("_official", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Zero, 0.8f, 0.9f, Order.TiltThenTemper)),
        new StepStatisticsCase("_reference", GuidanceRule.Reference()),
        new SampleRowCase(),
        new TiltedSampleCase("", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10)),
        new TiltedSampleCase("_reference", GuidanceRule.Reference(0.8f, 0.9f)),
        new TiltedSampleCase("_top_p", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 3, Outside.Zero, 0.8f, 0.9f)),
        new TiltedSampleCase("_categorical", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Categorical(0, 1, 11), 10, Outside.Min, 0.7f)),
        new TiltedSampleCase("_official", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 4, Outside.Zero, 0.8f, 0.9f, Order.TiltThenTemper)),
        new TiltedSampleCase("_official_tail", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Categorical(-1, 1, 5), 2, Outside.Martingale, 1.3f, 0.8f, Order.TiltThenTemper)),
        new TiltedSampleCase("_truncate", new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Truncate, 0.8f, 0.9f, Order.TiltThenTemper)),
        new TiltedSampleCase("_mean", new GuidanceRule(Tilt.Mean, ReturnFamily.Bernoulli, -2, Outside.Martingale, 1, 0.95f)),
        new TiltedSampleCase("_greedy", new GuidanceRule(Tilt.Mean, ReturnFamily.Categorical(0, 1, 3), 5, Outside.Mean, 0)),
    ];
}
