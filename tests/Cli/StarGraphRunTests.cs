using System.Text;
using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>One whole run that the tests compare others with.</summary>
public sealed class WholeRun : IAsyncLifetime
{
    /// <summary>Metrics reach the disk every 50 steps, so that there is a place inside of each phase to stop at.</summary>
    internal const string Sizes = "--graph 2,2 --reference-steps 80 --guide-steps 80";

    internal const string Tests = "--test-graphs 600 --eta 0.3,0.1";

    internal TemporaryFolder Folder { get; } = new();

    internal string Root => Folder["whole"];

    internal CliResult Result { get; private set; } = new(-1, "", "");

    internal string this[params ReadOnlySpan<string> names] => Folder[["whole", .. names]];

    public async ValueTask InitializeAsync() =>
        Result = await CliRun.Run(Folder.Path, $"star-graph {Sizes} {Tests} --seed 3 --threads 2 --json --quiet --out whole".Split(' '));

    public ValueTask DisposeAsync()
    {
        Folder.Dispose();
        return ValueTask.CompletedTask;
    }
}

/// <summary>A tiny star-graph experiment through the command line: what it writes, that it can be repeated, stopped and taken apart.</summary>
public class StarGraphRunTests(WholeRun whole) : IClassFixture<WholeRun>
{
    [Fact]
    public void Standard_output_is_one_json_document_of_the_agreed_form()
    {
        whole.Result.Done();
        Assert.Equal("", whole.Result.Error);
        JsonObject json = JsonNode.Parse(whole.Result.Out)!.AsObject();
        Assert.Equal([2, 2], json["graph"]!.AsArray().Select(value => (int)value!));
        Assert.Equal(3, (int)json["seed"]!);
        Assert.Equal(600, (int)json["test_graphs"]!);
        Assert.True((double)json["training_tokens_per_second"]! > 0);
        foreach (string phase in new[] { "pretrain", "collect", "train", "evaluate" }) Assert.True((double)json["seconds"]![phase]! > 0, phase);

        JsonObject[] methods = [.. json["methods"]!.AsArray().Select(method => method!.AsObject())];
        Assert.Equal(["reference", "qsharp", "qsharp", "cd", "cd"], methods.Select(method => (string)method["name"]!));
        Assert.Null(methods[0]["eta"]);
        Assert.Null(methods[0]["kl"]);
        Assert.Equal([0.3, 0.1, 0.3, 0.1], methods.Skip(1).Select(method => (double)method["eta"]!));
        foreach (JsonObject method in methods)
        {
            Assert.InRange((double)method["accuracy"]!, 0, 1);
            Assert.InRange((double)method["stderr"]!, 0, 0.03);
            if (method["kl"] is { } kl) Assert.InRange((double)kl, 0, 50);
        }
        Assert.True(JsonNode.DeepEquals(json, JsonNode.Parse(File.ReadAllText(whole["result.json"]))));
    }

    [Fact]
    public void The_folder_holds_what_is_documented()
    {
        string[] files = [.. Directory.GetFiles(whole.Root, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(whole.Root, file))];
        string[] documented =
            ["config.json", "metrics.jsonl", "result.json", "phases.json", "learning-curves.png", "learning-curves.svg", "accuracy-kl.png", "accuracy-kl.svg",
                "reference/config.json", "reference/model.safetensors", "guide/config.json", "guide/model.safetensors", "rollouts/dataset.json", "rollouts/rollouts.bin"];
        Assert.All(documented, file => Assert.Contains(file, files));
        Assert.Single(files, file => file.StartsWith("events.out.tfevents.", StringComparison.Ordinal));
        Assert.DoesNotContain(files, file => file.Contains(".partial", StringComparison.Ordinal) || file.Contains("checkpoint", StringComparison.Ordinal));
        Assert.Equal("\u0089PNG\r\n\u001a\n", Encoding.Latin1.GetString(File.ReadAllBytes(whole["accuracy-kl.png"]).AsSpan(0, 8)));
        Assert.Contains("<svg", File.ReadAllText(whole["accuracy-kl.svg"]));

        string[] metrics = File.ReadAllLines(whole["metrics.jsonl"]);
        Assert.Equal(Enumerable.Range(1, 80).Select(step => ("reference", step)).Concat(Enumerable.Range(1, 80).Select(step => ("guide", step))),
            metrics.Select(line => ((string)JsonNode.Parse(line)!["phase"]!, (int)JsonNode.Parse(line)!["step"]!)));
        Assert.Equal(80 * 64, RolloutFile.Read(whole["rollouts", "rollouts.bin"]).Count);
        Assert.Equal(3, (int)JsonNode.Parse(File.ReadAllText(whole["config.json"]))!["seed"]!);
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_bytes_and_a_pipe_gets_no_control_codes()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["runs", "star-graph-1"]);
        CliResult again = await CliRun.Run(folder.Path, $"star-graph {WholeRun.Sizes} {WholeRun.Tests} --seed 3 --threads 1".Split(' '));
        again.Done();
        AssertSameRun(folder["runs", "star-graph-2"]);
        Assert.DoesNotContain('\u001b', again.Out + again.Error);
        Assert.DoesNotContain('\r', again.Out + again.Error);
        Assert.Contains("reference: done", again.Error);
        Assert.Contains("qsharp", again.Out);
    }

    [Theory]
    [InlineData("reference")]
    [InlineData("collect")]
    [InlineData("guide")]
    [InlineData("evaluate")]
    public async Task A_run_stopped_in_any_phase_and_resumed_is_the_run_that_never_stopped(string phase)
    {
        using TemporaryFolder folder = new();
        string[] args = [.. $"star-graph {WholeRun.Sizes} {WholeRun.Tests} --seed 3 --threads 1 --json --quiet --out run".Split(' ')];
        using (CliRun run = CliRun.Start(folder.Path, args))
        {
            while (!run.HasEnded && !IsIn(phase)) await Task.Delay(2, TestContext.Current.CancellationToken);
            run.Interrupt();
            CliResult stopped = await run.End();
            Assert.True(stopped.ExitCode == 130, $"exit code {stopped.ExitCode}, {stopped.Error}");
            Assert.Equal("", stopped.Out);
            Assert.Contains("Stopping", stopped.Error);
        }
        Assert.False(File.Exists(folder["run", "result.json"]));
        Assert.DoesNotContain(folder.Entries(), entry => entry.EndsWith(".partial", StringComparison.Ordinal));

        CliResult other = await CliRun.Run(folder.Path, [.. args.Select(arg => arg == "0.3,0.1" ? "0.2" : arg), "--resume"]);
        Assert.Equal(2, other.ExitCode);
        Sentence.Assert(other.Error.TrimEnd('\n'), "eta", "--resume");

        CliResult resumed = await CliRun.Run(folder.Path, [.. args, "--resume"]);
        resumed.Done();
        AssertSameRun(folder["run"]);
        Assert.Equal(File.ReadAllLines(whole["metrics.jsonl"]), File.ReadAllLines(folder["run", "metrics.jsonl"]));

        bool IsIn(string wanted) => wanted switch
        {
            "collect" => new FileInfo(folder["run", "rollouts", "rollouts.bin"]) is { Exists: true, Length: > 1000 },
            "evaluate" => File.Exists(folder["run", "guide", "config.json"]),
            _ => MetricsHold(folder["run", "metrics.jsonl"], $"\"{wanted}\""),
        };
    }

    [Fact]
    public async Task The_verbs_one_by_one_give_what_the_whole_gives_and_naive_guidance_the_same()
    {
        using TemporaryFolder folder = new();
        const string graph = "--graph 2,2 --seed 3 --quiet --json", learning = graph + " --guide-steps 80";
        JsonObject pretrain = await Run(folder, $"pretrain {graph} --reference-steps 80 --out p");
        Assert.Equal("p/model", (string)pretrain["model"]!);
        await Run(folder, $"collect {learning} --model p/model --out c");
        await Run(folder, $"train {learning} --model p/model --data c --out t");
        AssertSameFile(whole["reference", "model.safetensors"], folder["p", "model", "model.safetensors"]);
        AssertSameFile(whole["rollouts", "rollouts.bin"], folder["c", "rollouts.bin"]);
        AssertSameFile(whole["guide", "model.safetensors"], folder["t", "guide", "model.safetensors"]);
        foreach (string guidance in new[] { "fused", "naive" })
        {
            JsonObject evaluation = await Run(folder, $"evaluate {graph} {WholeRun.Tests} --model p/model --guide t/guide --guidance {guidance} --out {guidance}");
            Assert.Equal((600, 1), ((int)evaluation["problems"]!, (int)evaluation["samples"]!));
            JsonArray methods = JsonNode.Parse(whole.Result.Out)!["methods"]!.AsArray();
            Assert.Equal(
                methods.Select(method => ((string)method!["name"]!, (double)method["accuracy"]!, (double)method["stderr"]!)),
                evaluation["results"]!.AsArray().Select(result => ((string)result!["method"]!, (double)result["pass_at_1"]!, (double)result["pass_at_1_stderr"]!)));
        }
    }

    [Fact]
    public async Task Data_of_another_vocabulary_is_refused_in_one_sentence()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["data"]);
        JsonObject description = JsonNode.Parse(File.ReadAllText(whole["rollouts", "dataset.json"]))!.AsObject();
        description["vocabulary"] = 99;
        File.WriteAllText(folder["data", "dataset.json"], description.ToJsonString());
        string train = $"train --graph 2,2 --guide-steps 80 --model {whole["reference"]} --data data --out new";
        await Refused(folder, train, "data", "99");
        Assert.Equal(["data", "data/dataset.json"], folder.Entries());

        // The description is right, but a token is not.
        File.Copy(whole["rollouts", "dataset.json"], folder["data", "dataset.json"], overwrite: true);
        using (RolloutFile file = RolloutFile.Append(folder["data", "rollouts.bin"])) file.Write([new Rollout(0, 0, 1, [1, 2, 999], 2, 0, 0, 1)]);
        await Refused(folder, train, "data", "999");

        // Models of another vocabulary, and each in the other's place.
        await Refused(folder, $"train --graph 2,2 --labels 40 --model {whole["reference"]} --data data --out other", "reference", "44");
        await Refused(folder, $"evaluate --graph 2,2 --model {whole["guide"]} --out other", "--guide");
        await Refused(folder, $"evaluate --graph 2,2 --model {whole["reference"]} --guide {whole["reference"]} --out other", "value head");
        Assert.False(Directory.Exists(folder["other"]));
    }

    [Theory]
    [InlineData(4)]      // not even the metrics
    [InlineData(12)]     // the metrics in part
    [InlineData(700)]    // the reference, and the roll-outs in part
    public async Task A_full_disk_is_one_sentence(int kibibytes)
    {
        // A file system of that size in a name space of its own, which needs no rights where the system permits it at all.
        using TemporaryFolder folder = new();
        string program = Path.Combine(AppContext.BaseDirectory, "qsharp.dll");
        string script = $"mount -t tmpfs -o size={kibibytes}k none '{folder.Path}' || exit 99\ncd '{folder.Path}'\n"
            + $"dotnet '{program}' star-graph {WholeRun.Sizes} --test-graphs 50 --threads 1 --quiet --json --out run\ncode=$?\nfind run -name '*.partial' >&2\nexit $code";
        if (!File.Exists("/usr/bin/unshare")) Assert.Skip("There is no unshare here.");
        CliResult result = await CliRun.Other("/usr/bin/unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script);
        Assert.SkipWhen(result.Error.Contains("unshare") || result.ExitCode == 99, $"No file system can be mounted here: {result.Error}");
        result.Refused("No space left");
    }

    private static async Task<JsonObject> Run(TemporaryFolder folder, string line) => (await CliRun.Run(folder.Path, line.Split(' '))).Json();

    private static async Task Refused(TemporaryFolder folder, string line, params string[] names) => (await CliRun.Run(folder.Path, [.. line.Split(' '), "--quiet"])).Refused(names);

    private void AssertSameRun(string folder)
    {
        AssertSameFile(whole["reference", "model.safetensors"], Path.Combine(folder, "reference", "model.safetensors"));
        AssertSameFile(whole["rollouts", "rollouts.bin"], Path.Combine(folder, "rollouts", "rollouts.bin"));
        AssertSameFile(whole["guide", "model.safetensors"], Path.Combine(folder, "guide", "model.safetensors"));
        Assert.Equal(Figures(whole["result.json"]), Figures(Path.Combine(folder, "result.json")));
    }

    private static string[] Figures(string result) => [.. JsonNode.Parse(File.ReadAllText(result))!["methods"]!.AsArray().Select(method =>
        $"{method!["name"]} {method["eta"]} {method["accuracy"]} {method["stderr"]} {method["kl"]}")];

    private static void AssertSameFile(string expected, string actual) =>
        Assert.True(File.ReadAllBytes(expected).AsSpan().SequenceEqual(File.ReadAllBytes(actual)), $"{actual} differs.");

    private static bool MetricsHold(string path, string text)
    {
        if (!File.Exists(path)) return false;
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using StreamReader reader = new(stream);
        return reader.ReadToEnd().Contains(text, StringComparison.Ordinal);
    }
}
