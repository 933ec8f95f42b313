using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Cli.Reports;
using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What roll-outs and a guide say about the reward within reach, a safe η, coverage and calibration.</summary>
internal sealed class DiagnoseVerb
{
    /// <summary>η of the foretold front, besides those asked for.</summary>
    private static readonly double[] _front = [10, 3, 1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01];

    private readonly Command _verb = new("diagnose", "What roll-outs and a guide say about reachable reward, a safe η, coverage and calibration.");
    private readonly TaskOptions _task;
    private readonly Option<string?> _data = OptionFactory.OptionalText("--data", "Folder of roll-outs of the reference.");
    private readonly Option<string?> _guide = OptionFactory.OptionalText("--guide", "Folder of the guide.");
    private readonly Option<CommaList<double>> _etas = OptionFactory.Etas(0.1, canBeNegative: true);
    private readonly Option<bool> _measure = OptionFactory.Flag("--measure", "Draw guided responses at each η: a measured front, the guide's residual, W without bias and the regret.");
    private readonly Option<int> _samples = OptionFactory.Integer("--samples", "Responses drawn to each problem.", 8, 2, OptionFactory.MostSamples);
    private readonly Option<string?> _policy = OptionFactory.OptionalText("--policy", "Folder of a policy: DualDICE learns from --data how much more often than the reference it comes to a text, beside what that is known to be.");
    private readonly Option<int> _ratioSteps = OptionFactory.Integer("--ratio-steps", "Steps of learning that.", 500, 1);
    private readonly Option<int> _limit = OptionFactory.Integer("--limit", "Most problems whose prompts are read or drawn for; also --test-graphs.", 200, 1, OptionFactory.MostProblems);
    private readonly Option<int> _responses = OptionFactory.Integer("--responses", "Most roll-outs that the guide reads for its calibration, and that a policy's ratios are compared on.", 2000, 2);
    private readonly CommonOptions _common;

    private DiagnoseVerb()
    {
        _limit.Aliases.Add("--test-graphs");
        _task = new TaskOptions(_verb, ProblemUse.Tests);
        foreach (Option option in (Option[])[_data, _guide, _policy, _ratioSteps, _etas, _measure, _samples, _limit, _responses]) _verb.Options.Add(option);
        _common = new CommonOptions(_verb);
        _verb.SetAction((parsed, stop) => Task.FromResult(Run(parsed, stop)));
    }

    public static Command Create() => new DiagnoseVerb()._verb;

    private int Run(ParseResult parsed, CancellationToken stop)
    {
        string? data = parsed.GetValue(_data), guideFolder = parsed.GetValue(_guide), policyFolder = parsed.GetValue(_policy);
        bool measures = parsed.GetValue(_measure);
        double[] etas = parsed.GetValue(_etas).Values;
        if (data is null && guideFolder is null) throw new UserException("There is nothing to diagnose; give roll-outs with --data, a guide with --guide, or both.");
        if (policyFolder is not null && data is null) throw new UserException("--policy is compared on roll-outs of the reference; give them with --data.");
        if (measures && guideFolder is null) throw new UserException("--measure draws guided responses; give a guide with --guide.");
        if (etas.Any(double.IsInfinity)) throw new UserException("--eta inf: the reference alone has no weights to diagnose; give a finite η.");
        using Session session = _task.Open(parsed, _common, guideFolder, stop);
        if (session.Guide?.Settings.Eta is { } only)
            throw new UserException(string.Create(CultureInfo.InvariantCulture, $"--guide {guideFolder}: this guide does not speak of the reward but was learned for η = {only} alone; give one of --loss cross-entropy, or leave --guide out."));
        Experiment experiment = session.Experiment;
        List<Rollout> rollouts = data is null ? [] : experiment.LoadReferenceSamples(data, session.Reference, isPlain: policyFolder is not null);
        int limit = parsed.GetValue(_limit), samples = parsed.GetValue(_samples);
        Problem[] problems = measures || (data is null && guideFolder is not null) ? experiment.TestProblems(limit, measures ? samples : 1) : [];
        if (problems.Length == 0 && (measures || data is null)) throw new UserException("There are no problems to test on; give some with --test-data.");
        JsonObject settings = new()
        {
            ["task"] = experiment.Task.Settings,
            ["model"] = _task.Model(parsed),
            ["data"] = data,
            ["guide"] = guideFolder,
            ["policy"] = policyFolder,
            ["ratio_steps"] = parsed.GetValue(_ratioSteps),
            ["measure"] = measures,
            ["samples"] = samples,
            ["limit"] = limit,
            ["eta"] = new JsonArray([.. etas.Select(Results.Eta)]),
        };
        _task.Decoding.AddTo(settings, parsed);
        RunFolder folder = _common.OpenFolder(parsed, "diagnose", settings);
        if (measures) session.NoteContext();
        DiagnosisReport report = new() { Data = data is null ? null : new DataDiagnosis(PromptSamples.Of(rollouts), 1 / etas[0]) };
        if (session.Guide is { } guide)
        {
            if (data is not null)
            {
                Rollout[] read = [.. rollouts.Take(parsed.GetValue(_responses))];
                report.Calibration = Calibration.Of(session.Reference, guide, read, Math.Min(experiment.Rows, read.Length), _common.Progress(parsed), stop);
            }
            // Of problems that are drawn for, the front is foretold too; else of those in the data.
            int[][] prompts = problems.Length > 0
                ? [.. problems.Select(problem => problem.Prompt)]
                : [.. rollouts.DistinctBy(rollout => rollout.Problem).Take(limit).Select(rollout => rollout.Tokens[..rollout.PromptLength])];
            List<ReturnLaw> laws = experiment.ReadLaws(session.Reference, guide, prompts);
            using Guidance guidance = _task.Decoding.Guidance(parsed, session.Reference.Ops);
            report.Laws = laws;
            report.Front = experiment.Front(
                session.Reference, guide, problems, laws, etas.All(eta => eta > 0) ? [.. _front, .. etas] : etas, measures ? etas : [], samples, guidance);
        }
        if (policyFolder is not null)
        {
            using LanguageModel policy = ModelFolder.LoadLanguageModel(session.Reference.Ops, policyFolder, experiment.Task);
            report.Ratios = experiment.Ratios(policy, session.Reference, rollouts, parsed.GetValue(_ratioSteps), parsed.GetValue(_responses));
        }
        JsonObject result = report.ToJson();
        folder.WriteJson("result.json", result);
        if (report.Data is { } diagnosis)
            AtomicFile.WriteText(folder.File("prompts.jsonl"), string.Concat(diagnosis.PromptLines().Select(line => line.ToJsonString() + "\n")));
        string[] pictures = DiagnosisPictures.Draw(folder, report, _common.Progress(parsed));
        if (_common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
        else report.Print(Console.Out, folder, pictures);
        return ExitCodes.Done;
    }
}
