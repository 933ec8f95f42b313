using System.Text.Json.Nodes;
using System.Xml.Linq;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>A guide for a text model, from a file of prompts and rules to guided text, through the command line alone.</summary>
public sealed class GuidedTextTests(GuidedTextTests.Run run) : IClassFixture<GuidedTextTests.Run>
{
    /// <summary>Roll-outs and a guide, made once.</summary>
    public sealed class Run : IAsyncLifetime
    {
        public const string Prompts = """
            {"prompt": "the cat", "rule": {"contains": "a"}}
            {"messages": [{"role": "user", "content": "hello"}], "rule": {"matches": "[xyz]"}}
            """;

        internal TinyTextModel Model { get; } = new();

        internal TemporaryFolder Folder { get; } = new();

        internal string Task => Folder["task.jsonl"];

        internal CliResult Collected { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            File.WriteAllText(Task, Prompts);
            Collected = await Cli("collect", "--rollouts", "300", "--samples", "4", "--temperature", "0.9", "--roll-in", "policy", "--out", "data");
            Collected.Done();
            CliResult trained = await Cli("train", "--data", "data", "--batch", "8", "--learning-rate", "3e-3", "--guide-steps", "150", "--out", "guide");
            trained.Done();
        }

        internal Task<CliResult> Cli(string verb, params string[] args) =>
            CliRun.Run(Folder.Path, [verb, "--task", Task, "--model", Model.Path, "--max-tokens", "12", .. args, "--json"]);

        public ValueTask DisposeAsync()
        {
            Folder.Dispose();
            Model.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>One guide, three functions of the reward: budgets are kept to, good and bad samples are aimed at.</summary>
    [Fact]
    public async Task Functions_of_the_reward_are_foretold_and_drawn()
    {
        async Task<(double Pass, double Kl, JsonNode? Foretold)> Point(params string[] options)
        {
            CliResult result = await run.Cli(
                "evaluate", ["--guide", "guide/guide", "--temperature", "0.9", "--methods", "qsharp", "--samples", "200", "--out", string.Join('-', options), "--quiet", .. options]);
            JsonNode point = result.Json()["results"]![1]!;
            return ((double)point["pass_at_1"]!, (double)point["kl_guidance"]!, point["foretold"]);
        }

        var budget = await Point("--kl-budget", "0.05");
        var threshold = await Point("--tilt", "threshold:1");
        var bad = await Point("--eta", "-0.1");
        Assert.Equal(0.05, (double)budget.Foretold!["kl"]!, 1e-4);
        Assert.True((double)budget.Foretold["lambda"]! > 0.1, budget.Foretold.ToJsonString());
        Assert.InRange(budget.Kl, 0.005, 0.5);
        Assert.True(threshold.Pass > budget.Pass && budget.Pass > bad.Pass + 0.1, $"{threshold.Pass}, {budget.Pass}, {bad.Pass}");
        Assert.Null(bad.Foretold);
    }

    [Fact]
    public async Task A_diagnosis_tells_of_the_data_the_guide_and_the_regret()
    {
        CliResult result = await run.Cli(
            "diagnose", "--data", "data", "--guide", "guide/guide", "--temperature", "0.9", "--measure", "--eta", "1,0.2", "--samples", "60", "--responses", "100", "--out", "diagnosis", "--quiet");
        JsonObject report = result.Json();
        Assert.Equal(2, (int)report["data"]!["prompts"]!);
        Assert.Equal(152, (int)report["data"]!["samples_per_prompt"]!);   // of 300, four at a time
        // The last token tells most of the reward.
        Assert.True((double)report["calibration"]!["end"]!["auc"]! > (double)report["calibration"]!["root"]!["auc"]! + 0.1, report["calibration"]!.ToJsonString());
        JsonNode[] front = [.. report["front"]!.AsArray().Select(point => point!)];
        double[] kl = [.. front.Select(point => Math.Round((double)point["foretold_kl"]!, 9))];
        Assert.Equal(kl.Order(), kl);
        JsonNode[] drawn = [.. front.Where(point => point["certificate"] is not null)];
        Assert.Equal(new double[] { 1, 0.2 }, drawn.Select(point => (double)point["eta"]!));
        Assert.All(drawn, point => Assert.True((double)point["certificate"]!["regret"]! > -4 * (double)point["certificate"]!["regret_stderr"]!, point.ToJsonString()));
        Assert.True(File.Exists(run.Folder["diagnosis", "prompts.jsonl"]) && File.Exists(run.Folder["diagnosis", "result.json"]));
        CliResult nothing = await run.Cli("diagnose");
        Assert.Equal(2, nothing.ExitCode);
        Assert.Contains("--data", nothing.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--tilt threshold:0.5 --eta 1", "--eta")]
    [InlineData("--kl-budget 1 --eta 1", "--eta")]
    [InlineData("--kl-budget 1 --target-reward 0.5", "one of them")]
    [InlineData("--kl-budget -1", "at least 0")]
    [InlineData("--tilt best-of:0.5", "best-of")]
    [InlineData("--tilt chi2 --eta -1", "greater than 0")]
    [InlineData("--tilt threshold:3", "end at 1")]
    [InlineData("--tilt chi2 --methods qsharp,cd", "cd")]
    [InlineData("--eta 1e-40", "3e-39")]
    [InlineData("--eta 0.1,-1e-320", "3e-39")]
    [InlineData("--eta 0", "other than 0")]
    public async Task Functions_that_make_no_sense_are_refused(string options, string says)
    {
        CliResult result = await run.Cli("evaluate", ["--guide", "guide/guide", "--out", "refused", .. options.Split(' ')]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(run.Folder["refused"]));
    }

    [Fact]
    public async Task Stronger_guidance_gives_more_reward_for_more_KL()
    {
        CliResult result = await run.Cli(
            "evaluate", "--guide", "guide/guide", "--temperature", "0.9", "--eta", "1,0.1", "--methods", "qsharp", "--samples", "300", "--out", "evaluation", "--quiet");
        JsonObject report = result.Json();
        Assert.Equal((2, 300), ((int)report["problems"]!, (int)report["samples"]!));
        (double Pass, double Kl)[] points = [.. report["results"]!.AsArray().Select(each => ((double)each!["pass_at_1"]!, (double)each["kl_guidance"]!))];
        Assert.Equal(0, points[0].Kl);
        Assert.True(points[1].Pass > points[0].Pass && points[2].Pass > points[0].Pass + 0.1, $"pass@1 is {points[0].Pass}, {points[1].Pass}, {points[2].Pass}.");
        Assert.True(points[1].Kl > 0 && points[2].Kl > points[1].Kl, $"KL is {points[1].Kl}, {points[2].Kl}.");

        // The same in the layout of lm-evaluation-harness, and as a page that needs nothing else.
        JsonObject harness = JsonNode.Parse(File.ReadAllText(run.Folder["evaluation/results.json"]))!.AsObject(), metrics = harness["results"]!["task"]!.AsObject();
        Assert.Equal(points[2].Pass, (double)metrics["exact_match,qsharp-T0.9-eta0.1"]!);
        Assert.Equal((double)report["results"]![0]!["pass_at_1_stderr"]!, (double)metrics["exact_match_stderr,reference-T0.9"]!);
        Assert.Equal((2, 300), ((int)harness["n-samples"]!["task"]!["effective"]!, (int)harness["configs"]!["task"]!["repeats"]!));
        JsonObject[] samples = [.. Lines(File.ReadAllText(run.Folder["evaluation/samples_task.jsonl"]))];
        Assert.Equal(2 * 300 * 3, samples.Length);
        Assert.Equal(points[2].Pass, samples.Where(sample => (string)sample["filter"]! == "qsharp-T0.9-eta0.1").Average(sample => (double)sample["exact_match"]!), 1e-6);
        Assert.Equal("<s>the cat", (string)samples[0]["arguments"]![0]![0]!);
        string page = File.ReadAllText(run.Folder["evaluation/report.html"]);
        XDocument html = XDocument.Parse(page);
        Assert.Contains("&lt;s&gt;the cat", page);
        Assert.Equal(3, html.Descendants("details").Count());
        Assert.Single(html.Descendants(), element => element.Name.LocalName == "svg" && element.Parent!.Name == "figure");
        Assert.DoesNotContain(html.Descendants(), element => element.Name.LocalName is "script" or "link" or "img" or "iframe");
        Assert.True(File.Exists(run.Folder["evaluation/accuracy-kl.png"]));
    }

    /// <summary>Each policy has entries of its own in results.json, however little it differs from another.</summary>
    [Fact]
    public async Task Policies_that_differ_in_a_far_digit_have_names_of_their_own()
    {
        CliResult result = await run.Cli(
            "evaluate", "--guide", "guide/guide", "--temperatures", "0.9,0.9001", "--eta", "0.000001,0.000002,0.1", "--methods", "qsharp", "--limit", "1", "--out", "names", "--quiet");
        result.Done();
        JsonObject metrics = JsonNode.Parse(File.ReadAllText(run.Folder["names/results.json"]))!["results"]!["task"]!.AsObject();
        Assert.Equal(2 * 4, metrics.Count(each => each.Key.StartsWith("exact_match,")));
        Assert.True(metrics.ContainsKey("exact_match,qsharp-T0.9-eta0.1") && metrics.ContainsKey("exact_match,reference-T0.9001"), metrics.ToJsonString());
    }

    [Fact]
    public async Task Each_temperature_goes_with_each_eta_and_tells_its_KL_from_the_datas()
    {
        CliResult result = await run.Cli(
            "evaluate", "--guide", "guide/guide", "--temperature", "0.9", "--temperatures", "0.9,0.5", "--eta", "0.2", "--methods", "qsharp,cd", "--samples", "40", "--out", "temperatures", "--quiet");
        result.Done();
        JsonObject[] results = [.. JsonNode.Parse(result.Out)!["results"]!.AsArray().Select(each => each!.AsObject())];
        Assert.Equal(["reference 0.9", "qsharp 0.9", "cd 0.9", "reference 0.5", "qsharp 0.5", "cd 0.5"], results.Select(each => $"{each["method"]} {each["temperature"]}"));
        Assert.Equal(0, (double)results[0]["kl_origin"]!, 1e-4);
        Assert.True((double)results[3]["kl_origin"]! > 0.1 && (double)results[3]["kl_guidance"]! == 0);
        // A guide's gain is over π_ref at its own temperature, π_ref's over the first.
        foreach ((int policy, int over) in ((int, int)[])[(1, 0), (2, 0), (3, 0), (4, 3), (5, 3)])
            Assert.Equal((double)results[policy]["pass_at_1"]! - (double)results[over]["pass_at_1"]!, (double)results[policy]["gain"]!, 1e-9);
        Assert.True(File.Exists(run.Folder["temperatures/accuracy-kl.svg"]));
    }

    [Fact]
    public async Task Fused_and_naive_guidance_write_the_same_text_and_infinite_eta_writes_the_references()
    {
        string fused = await Generate("--guide", "guide/guide", "--eta", "0.2"), naive = await Generate("--guide", "guide/guide", "--eta", "0.2", "--guidance", "naive");
        Assert.Equal(Ids(fused), Ids(naive));
        Assert.Equal(await Generate("--guide", "guide/guide", "--eta", "inf"), await Generate());
        Assert.NotEqual(Ids(fused), Ids(await Generate()));
        // Few candidates and none outside of them: another law.
        Assert.NotEqual(Ids(fused), Ids(await Generate("--guide", "guide/guide", "--eta", "0.2", "--candidates", "2", "--outside", "truncate")));
        // Drawn by rejection, KL is an estimate: of one response it may be below 0.
        Assert.All(Lines(await Generate("--guide", "guide/guide", "--eta", "0.2", "--candidates", "all")), line => Assert.True(double.IsFinite((double)line["kl"]!)));
    }

    [Fact]
    public async Task A_guide_is_refused_for_another_reference_or_tokenizer_and_warned_about_at_other_settings()
    {
        using TinyTextModel other = new(seed: 6), otherTokenizer = new(begin: false);
        await Refused(["generate", "--model", other.Path, "--guide", "guide/guide", "--prompt", "a"], "another reference");
        JsonObject tokenizer = JsonNode.Parse(File.ReadAllText(otherTokenizer["tokenizer.json"]))!.AsObject();
        tokenizer["model"]!["merges"] = new JsonArray("c a");
        File.WriteAllText(otherTokenizer["tokenizer.json"], tokenizer.ToJsonString());
        await Refused(["generate", "--model", otherTokenizer.Path, "--guide", "guide/guide", "--prompt", "a"], "tokenizer");

        CliResult warned = await CliRun.Run(run.Folder.Path, ["generate", "--model", run.Model.Path, "--guide", "guide/guide", "--prompt", "a", "--max-tokens", "2", "--temperature", "0.5"]);
        Assert.Equal(0, warned.ExitCode);
        Assert.Contains("temperature 0.9", warned.Error);
        CliResult silent = await CliRun.Run(run.Folder.Path, ["generate", "--model", run.Model.Path, "--guide", "guide/guide", "--prompt", "a", "--max-tokens", "2", "--temperature", "0.9"]);
        Assert.DoesNotContain("temperature 0.9", silent.Error);
        await Refused(["generate", "--model", "guide/guide", "--prompt", "a"], "--guide");
    }

    [Fact]
    public async Task Drawing_by_rejection_is_refused_where_it_cannot_draw()
    {
        string[] guided = ["generate", "--model", run.Model.Path, "--guide", "guide/guide", "--prompt", "a", "--candidates", "all"];
        await Refused([.. guided, "--temperature", "0"], "--candidates all", "--temperature 0");
        await Refused([.. guided, "--order", "official"], "--candidates all", "--order official");
        CliResult result = await run.Cli("evaluate", "--guide", "guide/guide", "--candidates", "all", "--order", "official", "--out", "refused", "--quiet");
        Assert.Equal(2, result.ExitCode);
        Assert.False(Directory.Exists(run.Folder["refused"]));
    }

    [Fact]
    public async Task Collecting_resumes_where_it_stopped_and_other_settings_are_refused()
    {
        CliResult again = await run.Cli("collect", "--rollouts", "300", "--samples", "4", "--temperature", "0.9", "--roll-in", "policy", "--out", "again", "--quiet");
        Assert.Equal(0, again.ExitCode);
        byte[] whole = File.ReadAllBytes(run.Folder["data/rollouts.bin"]);
        Assert.Equal(whole, File.ReadAllBytes(run.Folder["again/rollouts.bin"]));
        File.WriteAllBytes(run.Folder["again/rollouts.bin"], whole[..(whole.Length / 2)]);
        again = await run.Cli("collect", "--rollouts", "300", "--samples", "4", "--temperature", "0.9", "--roll-in", "policy", "--out", "again", "--resume", "--threads", "1");
        Assert.Equal(0, again.ExitCode);
        Assert.Equal(whole, File.ReadAllBytes(run.Folder["again/rollouts.bin"]));
        CliResult refused = await run.Cli("collect", "--rollouts", "300", "--samples", "4", "--temperature", "0.5", "--out", "again", "--resume", "--quiet");
        Assert.Equal(2, refused.ExitCode);
    }

    [Theory]
    [InlineData("{\"prompt\": \"a\"}", "rule"), InlineData("{\"rule\": {\"contains\": \"a\"}}", "prompt"), InlineData("not json", "line 1")]
    [InlineData("{\"prompt\": \"a\", \"rule\": {\"contain\": \"a\"}}", "contain"), InlineData("{\"prompt\": \"a\", \"rule\": {}}", "condition")]
    [InlineData("{\"prompt\": \"a\", \"rule\": {\"matches\": \"(\"}}", "matches"), InlineData("", "no problem"), InlineData("{\"prompt\": \"a\", \"rule\": {\"number\": \"x\"}}", "number")]
    [InlineData("{\"messages\": [{\"role\": \"user\"}], \"rule\": {\"ends\": true}}", "content")]
    public async Task A_line_that_is_no_problem_is_refused_by_its_number(string line, string part)
    {
        string path = run.Folder[$"bad-{Math.Abs(line.GetHashCode())}.jsonl"];
        File.WriteAllText(path, line);
        await Refused(["collect", "--task", path, "--model", run.Model.Path, "--out", "never"], part);
        Assert.False(Directory.Exists(run.Folder["never"]));
    }

    private async Task<string> Generate(params string[] args)
    {
        CliResult result = await CliRun.Run(
            run.Folder.Path, ["generate", "--model", run.Model.Path, "--prompt", "the cat", "--samples", "12", "--max-tokens", "12", "--temperature", "0.9", "--json", "--quiet", .. args]);
        result.Done();
        return result.Out;
    }

    private static IEnumerable<JsonObject> Lines(string output) => output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject());

    private static IEnumerable<string> Ids(string output) => Lines(output).Select(line => line["ids"]!.ToJsonString());

    private async Task Refused(string[] args, params string[] names) => (await CliRun.Run(run.Folder.Path, [.. args, "--quiet"])).Refused(names);
}
