using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>Ctrl-C in an evaluation and going on, through the command line alone.</summary>
public sealed class EvaluationResumeTests(GuidedTextTests.Run run) : IClassFixture<GuidedTextTests.Run>
{
    // Three policies of 720 responses, which take turns, then blocks.
    private static readonly string[] _settings =
        ["--guide", "guide/guide", "--temperature", "0.9", "--eta", "0.2", "--methods", "qsharp,cd", "--samples", "12", "--blocks", "4,3", "--threads", "1", "--quiet"];

    private string ManyProblems()
    {
        string path = run.Folder["many.jsonl"];
        File.WriteAllLines(path, Enumerable.Range(0, 60).Select(i => $$$"""{"prompt": "{{{(char)('a' + i % 26)}}} cat {{{(char)('z' - i % 23)}}}", "rule": {"contains": "a"}}"""));
        return path;
    }

    private string[] Args(string @out) => ["evaluate", "--task", ManyProblems(), "--model", run.Model.Path, "--max-tokens", "12", .. _settings, "--json", "--out", @out];

    [Theory, InlineData("responses.bin", 0.1), InlineData("responses.bin", 0.6), InlineData("responses-blocks.bin", 0.1)]
    public async Task An_evaluation_that_was_stopped_and_resumed_says_what_one_says_that_never_stopped(string file, double share)
    {
        string whole = $"whole-{file}-{share}", parts = $"parts-{file}-{share}";
        CliResult never = await CliRun.Run(run.Folder.Path, Args(whole));
        never.Done();
        long most = new FileInfo(run.Folder[whole, file]).Length;
        string responses = run.Folder[parts, file];
        using (CliRun started = CliRun.Start(run.Folder.Path, Args(parts)))
        {
            while (!started.HasEnded && !(File.Exists(responses) && new FileInfo(responses).Length > share * most)) await Task.Delay(2, TestContext.Current.CancellationToken);
            started.Interrupt();
            Assert.Equal(130, (await started.End()).ExitCode);
        }
        Assert.False(File.Exists(run.Folder[parts, "result.json"]));
        byte[] first = File.ReadAllBytes(responses);
        Assert.InRange(first.Length, share * most, most - 1);

        CliResult resumed = await CliRun.Run(run.Folder.Path, [.. Args(parts), "--resume"]);
        resumed.Done();
        Assert.Equal(Figures(never.Out), Figures(resumed.Out));
        Assert.Equal(Figures(never.Out), Figures(File.ReadAllText(run.Folder[parts, "result.json"])));
        Assert.Equal(File.ReadAllText(run.Folder[whole, "samples_many.jsonl"]), File.ReadAllText(run.Folder[parts, "samples_many.jsonl"]));
        // What was there is still there, and each response once: none was drawn again.
        byte[] all = File.ReadAllBytes(responses);
        Assert.Equal(first, all[..first.Length]);
        Assert.Equal(most, all.Length);

        CliResult again = await CliRun.Run(run.Folder.Path, [.. Args(parts), "--resume"]);
        Assert.Equal((0, resumed.Out), (again.ExitCode, again.Out));
        Assert.Equal(all, File.ReadAllBytes(responses));
    }

    [Fact]
    public async Task Responses_of_another_model_guide_or_setting_are_refused_and_kept()
    {
        CopyGuide();
        string[] args = [.. Args("bound").Select(arg => arg == "guide/guide" ? "own" : arg)];
        CliResult first = await CliRun.Run(run.Folder.Path, args);
        first.Done();
        byte[] responses = File.ReadAllBytes(run.Folder["bound", "responses.bin"]);
        await Refused([.. args.Select(arg => arg == "own" ? "guide/guide" : arg)], "guide", "own");
        await Refused([.. args.Select(arg => arg == run.Model.Path ? run.Model.Path + "/." : arg)], "model");
        await Refused([.. args.Select(arg => arg == "12" ? "13" : arg)], "13");
        // The same path, but another guide lies there now.
        byte[] weights = File.ReadAllBytes(run.Folder["own", "model.safetensors"]);
        weights[^1] ^= 0x80;
        File.WriteAllBytes(run.Folder["own", "model.safetensors"], weights);
        await Refused(args, "responses.bin", "another guide");

        CopyGuide();
        CliResult mended = await CliRun.Run(run.Folder.Path, [.. args, "--resume"]);
        Assert.Equal((0, first.Out), (mended.ExitCode, mended.Out));

        async Task Refused(string[] line, params string[] names)
        {
            CliResult result = await CliRun.Run(run.Folder.Path, [.. line, "--resume"]);
            result.Refused(names);
            Assert.Equal(responses, File.ReadAllBytes(run.Folder["bound", "responses.bin"]));
        }

        void CopyGuide()
        {
            Directory.CreateDirectory(run.Folder["own"]);
            foreach (string path in Directory.EnumerateFiles(run.Folder["guide/guide"])) File.Copy(path, run.Folder["own", Path.GetFileName(path)], overwrite: true);
        }
    }

    /// <summary>A result without what depends on the clock.</summary>
    private static string Figures(string json)
    {
        JsonObject result = JsonNode.Parse(json)!.AsObject();
        foreach (JsonNode? each in result["results"]!.AsArray()) Assert.True(each!.AsObject().Remove("tokens_per_second"));
        return result.ToJsonString();
    }
}
