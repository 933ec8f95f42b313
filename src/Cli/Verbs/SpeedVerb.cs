using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Cli.Speed;
using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Verbs;

/// <summary>Measures how fast a model decodes, is guided and is trained, beside what the device could do. Changes nothing.</summary>
internal static class SpeedVerb
{
    private static readonly string[] Parts = ["decode", "guided", "head", "train", "train-value", "launches"];

    public static Command Create()
    {
        Command verb = new("speed", "Measure decoding, guidance and training against what the device could do; needs no model file.");
        Argument<string> part = new("WHAT")
        {
            Description = "decode: steps, bytes, share of bandwidth. guided: guided over unguided steps, fused and naive. "
                + "head: what the draw and the tilt add to the head's product. "
                + "train, train-value: tokens a second, MFU, share of matrix products, of a language model or a V-type guide. launches: kernels of a step and their cost, on a card.",
            CustomParser = result =>
            {
                string word = result.Tokens[0].Value;
                if (!Parts.Contains(word)) result.AddError($"speed {word}: say one of {string.Join(", ", Parts)}{Nearest.Hint(word, Parts)}.");
                return word;
            },
        };
        Option<string?> model = OptionFactory.OptionalText("--model", "The reference: a folder, a GGUF file, or org/name from the local hub cache.");
        Option<string> shape = OptionFactory.Choice("--shape", "Random weights of this size, in place of --model.", "tiny", [.. ModelShapes.All.Keys]);
        Option<string> guideShape = OptionFactory.Choice("--guide-shape", "For guided: size of the guide, with random weights; shared is a head on the reference's own hidden states.", "tiny", [.. ModelShapes.All.Keys, SpeedModels.SharedTrunk]);
        Option<CommaList<int>> rows = OptionFactory.Integers("--rows", "Rows of a step, one or more.", OptionFactory.MostRows, 1);
        Option<CommaList<int>> context = OptionFactory.Integers("--context", "Tokens in the cache, or of a row in training; one or more.", OptionFactory.MostTokens, 128);
        Option<int> candidates = OptionFactory.Integer("--candidates", "For guided and head: tokens that the guide scores at each step.", 20, 1, GuidanceRule.MostCandidates);
        Option<int> steps = OptionFactory.Integer("--steps", "Steps that are timed; their median counts.", 15, 1);
        verb.Arguments.Add(part);
        foreach (Option option in (Option[])[model, shape, guideShape, rows, context, candidates, steps]) verb.Options.Add(option);
        CommonOptions common = new(verb, hasRun: false, hasTrace: false);
        verb.SetAction((parsed, stop) =>
        {
            string what = parsed.GetValue(part)!;
            string? file = parsed.GetValue(model);
            if (file is not null && parsed.IsGiven(shape)) throw new UserException("speed: give --model or --shape, not both.");
            if (file is not null && what == "train-value") throw new UserException("speed train-value: a value model is measured with random weights; give --shape in place of --model.");
            Refuse(guideShape, "guided");
            Refuse(candidates, "guided", "head");
            Refuse(context, [.. Parts.Where(each => each != "head")]);
            SpeedSettings settings = new(
                file, parsed.GetValue(shape), parsed.GetValue(guideShape), parsed.GetValue(rows).Values, parsed.GetValue(context).Values,
                parsed.GetValue(candidates), parsed.GetValue(steps), common.Seed(parsed));
            (Device device, Ops ops) = common.Open(parsed);
            using Device owned = device;
            if (what == "launches" && device is not CudaDevice) throw new UserException("speed launches: only a card has launches; give --device cuda.");
            DevicePeak peak = DevicePeak.Of(ops);
            SpeedRun run = new(ops, settings, peak, stop);
            SpeedReport report = what switch
            {
                "decode" => run.Decode(),
                "guided" => run.Guided(),
                "head" => run.Head(),
                "launches" => run.Launches((CudaDevice)device),
                _ => run.Training(isValue: what == "train-value"),
            };
            if (common.Json(parsed)) Console.Out.WriteLine(Json(what, device, settings, peak, report).ToJsonString());
            else Print(Console.Out, device, peak, report);
            return Task.FromResult(ExitCodes.Done);

            void Refuse(Option option, params string[] parts)
            {
                if (!parts.Contains(what) && parsed.IsGiven(option))
                    throw new UserException($"speed {what}: {option.Name} is of no use here; it goes with `speed {string.Join("`, `speed ", parts)}`.");
            }
        });
        return verb;
    }

    private static void Print(TextWriter output, Device device, DevicePeak peak, SpeedReport report)
    {
        report.Print(output);
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{Name(device)}: {peak.BytesPerSecond / 1e9:N1} GB/s and {peak.FlopsPerSecond / 1e12:N2} TFLOP/s at most ({peak.Source})."));
        if (StandIn.IsLoaded) output.WriteLine("This is the stand-in for a card: no figure here says anything about speed.");
    }

    private static JsonObject Json(string what, Device device, SpeedSettings settings, DevicePeak peak, SpeedReport report)
    {
        JsonObject json = new()
        {
            ["what"] = what,
            ["device"] = Name(device),
            ["stand_in"] = StandIn.IsLoaded,
            ["model"] = settings.Model ?? settings.Shape,
            ["steps"] = settings.Steps,
            ["peak_bytes_per_second"] = peak.BytesPerSecond,
            ["peak_flops_per_second"] = peak.FlopsPerSecond,
            ["peak_source"] = peak.Source,
            ["results"] = report.Results,
        };
        if (what == "guided") json["guide"] = settings.GuideShape;
        if (what is "guided" or "head") json["candidates"] = settings.Candidates;
        return json;
    }

    private static string Name(Device device) => device is CudaDevice card ? card.Properties.Name : device.Name;
}
