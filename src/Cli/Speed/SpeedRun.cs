using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>What a measurement is made of.</summary>
internal sealed record SpeedSettings(string? Model, string? Shape, string? GuideShape, int[] Rows, int[] Contexts, int Candidates, int Steps, ulong Seed);

/// <summary>The measurements of `qsharp speed`, each a table of its own.</summary>
internal sealed class SpeedRun(Ops ops, SpeedSettings settings, DevicePeak peak, CancellationToken stop)
{
    // What is compared is timed in turns and the least time counts: a machine's speed drifts by more than what a small guide costs.
    private const int Turns = 3;

    private IEnumerable<(int Rows, int Context)> Sizes => settings.Rows.SelectMany(rows => settings.Contexts.Select(context => (rows, context)));

    public SpeedReport Decode()
    {
        using LanguageModel model = Reference();
        SpeedReport report = new(
            ("rows", "rows", "0"), ("context", "context", "0"), ("ms/step", "milliseconds", "0.000"), ("tokens/s", "tokens_per_second", "N1"),
            ("MB/step", "megabytes", "N3"), ("GB/s", "gigabytes_per_second", "N1"), ("of bandwidth", "bandwidth_share", "0.0%"));
        foreach ((int rows, int context) in Sizes)
        {
            double milliseconds = DecodeSpeed.Time(model, null, null, 1, rows, context, settings.Steps, stop).Milliseconds;
            double bytes = StepCost.DecodeBytes(model, rows, context), rate = 1e3 * bytes / milliseconds;
            report.Add(rows, context, milliseconds, 1e3 * rows / milliseconds, bytes / 1e6, rate / 1e9, rate / peak.BytesPerSecond);
        }
        return report;
    }

    public SpeedReport Guided()
    {
        using LanguageModel model = Reference();
        using IGuide guide = SpeedModels.Guide(ops, model, settings.GuideShape!, settings.Seed + 1);
        using FusedGuidance fused = new(ops);
        using NaiveGuidance naive = new(ops);
        int k = settings.Candidates;
        SpeedReport report = new(
            ("rows", "rows", "0"), ("context", "context", "0"), ("unguided ms", "unguided_milliseconds", "0.000"),
            ("guided ms", "guided_milliseconds", "0.000"), ("ratio", "ratio", "0.000"), ("by bytes", "bytes_ratio", "0.000"),
            ("by bytes and flops", "floor_ratio", "0.000"), ("naive ms", "naive_milliseconds", "0.000"), ("naive/fused", "naive_over_fused", "0.000"));
        foreach ((int rows, int context) in Sizes)
        {
            double unguided = double.PositiveInfinity, guided = unguided, chained = unguided;
            for (int turn = 0; turn < Turns; turn++)
                (unguided, guided, chained) = (Math.Min(unguided, Time(null)), Math.Min(guided, Time(fused)), Math.Min(chained, Time(naive)));
            double bytes = StepCost.DecodeBytes(model, rows, context), guideBytes = StepCost.GuideBytes(guide, rows, context, k);
            double least = Floor(bytes, StepCost.DecodeFlops(model, rows, 1, context)), guideLeast = Floor(guideBytes, StepCost.GuideFlops(guide, rows, context, k));
            report.Add(rows, context, unguided, guided, guided / unguided, 1 + guideBytes / bytes, 1 + guideLeast / least, chained, chained / guided);

            double Time(Guidance? guidance) => DecodeSpeed.Time(model, guide, guidance, k, rows, context, settings.Steps, stop).Milliseconds;
        }
        return report;
    }

    /// <summary>What the draw and the fused tilt add to the LM head's product, which decides whether the tilt belongs into that product's kernel.</summary>
    public SpeedReport Head()
    {
        using LanguageModel model = settings.Model is null ? SpeedModels.Head(ops, settings.Shape!, settings.Seed) : Reference();
        SpeedReport report = new(
            ("rows", "rows", "0"), ("product µs", "product_microseconds", "0.0"), ("and draw µs", "drawn_microseconds", "0.0"), ("ratio", "drawn_ratio", "0.000"),
            ("and tilt µs", "tilted_microseconds", "0.0"), ("ratio", "tilted_ratio", "0.000"));
        foreach (int rows in settings.Rows)
        {
            HeadTiming timing = HeadTiming.Of(model, rows, settings.Candidates, settings.Steps, stop);
            report.Add(rows, timing.Product, timing.Drawn, timing.Drawn / timing.Product, timing.Tilted, timing.Tilted / timing.Product);
        }
        return report;
    }

    /// <param name="isValue">Whether a value model is trained rather than a language model.</param>
    public SpeedReport Training(bool isValue)
    {
        SpeedReport report = new(
            ("rows", "rows", "0"), ("context", "context", "0"), ("ms/step", "milliseconds", "0.000"), ("tokens/s", "tokens_per_second", "N0"),
            ("GFLOP/token", "gigaflops_per_token", "0.000"), ("TFLOP/s", "teraflops_per_second", "0.000"), ("MFU", "mfu", "0.0%"), ("in products", "product_share", "0.0%"));
        using HeadedModel model = isValue ? SpeedModels.Value(ops, settings.Shape!, settings.Seed) : Reference();
        Method method = isValue ? new QSharpMethod(ReturnFamily.Bernoulli) : new PretrainMethod();
        foreach ((int rows, int context) in Sizes)
        {
            TrainingTiming timing = TrainingTiming.Of(model, method, rows, context, settings.Steps, stop);
            double tokens = 1e3 * rows * context / timing.Milliseconds, flops = StepCost.TrainingFlops(model, context);
            report.Add(rows, context, timing.Milliseconds, tokens, flops / 1e9, tokens * flops / 1e12, tokens * flops / peak.FlopsPerSecond, timing.ProductShare);
        }
        return report;
    }

    public SpeedReport Launches(CudaDevice card)
    {
        using LanguageModel model = Reference();
        using LanguageModel one = SpeedModels.Language(ops, model.Config with { Layers = 1 }, settings.Seed);
        SpeedReport report = new(
            ("rows", "rows", "0"), ("context", "context", "0"), ("ms/step", "milliseconds", "0.000"), ("launches", "launches", "0"),
            ("a layer", "launches_per_layer", "0.0"), ("µs each", "launch_microseconds", "0.00"), ("of step", "launch_share", "0.0%"),
            ("host µs", "host_microseconds", "0.0"), ("of step", "host_share", "0.0%"));
        foreach ((int rows, int context) in Sizes)
        {
            StepTiming timing = DecodeSpeed.Time(model, null, null, 1, rows, context, settings.Steps, stop);
            int layers = model.Config.Layers;
            double perLayer = layers == 1 ? double.NaN
                : (timing.Launches - DecodeSpeed.Time(one, null, null, 1, rows, context, 1, stop).Launches) / (layers - 1.0);
            LaunchCost cost = LaunchCost.Measure(card, (int)timing.Launches, rows);
            double step = 1e3 * timing.Milliseconds;
            report.Add(rows, context, timing.Milliseconds, timing.Launches, perLayer, cost.Microseconds, cost.Microseconds * timing.Launches / step,
                cost.HostMicroseconds, cost.HostMicroseconds / step);
        }
        return report;
    }

    private LanguageModel Reference() => SpeedModels.Language(ops, settings.Model, settings.Shape, settings.Seed);

    /// <summary>Seconds at least.</summary>
    private double Floor(double bytes, double flops) => Math.Max(bytes / peak.BytesPerSecond, flops / peak.FlopsPerSecond);
}
