using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>A tiny tool-call experiment through the command line.</summary>
public class ToolCallRunTests
{
    private const string Sizes = "tool-call --reference-steps 300 --rollouts 2000 --guide-steps 100 --test-problems 40 --samples 2 --seed 3 --threads 1 --quiet";

    [Fact]
    public async Task A_run_says_what_guides_predict_achieve_and_could_at_most_and_a_resumed_one_the_same()
    {
        using TemporaryFolder folder = new();
        JsonObject json = await Run(folder, $"{Sizes} --json --out run");
        JsonObject[] methods = [.. json["methods"]!.AsArray().Select(method => method!.AsObject())];
        Assert.Equal(["reference", "qsharp", "qsharp-td"], methods.Select(method => (string)method["name"]!));
        double optimum = (double)json["optimum"]!;
        Assert.True((double)methods[1]["exact_predicted"]! > optimum + 0.05, json.ToJsonString());
        Assert.InRange((double)methods[1]["exact_objective"]!, 0, optimum - 0.01);
        Assert.Equal(optimum, (double)methods[2]["exact_predicted"]!);
        // π_ref's own reward is measured and enumerated.
        Assert.Equal((double)methods[0]["exact_objective"]!, (double)methods[0]["reward"]!, 0.12);
        Assert.Equal((double)methods[1]["reward"]! - 0.1 * (double)methods[1]["kl"]!, (double)methods[1]["objective"]!, 1e-6);

        File.Delete(folder["run", "result.json"]);
        Directory.Delete(folder["run", "guide-qsharp-td"], recursive: true);
        JsonObject again = await Run(folder, $"{Sizes} --json --out run --resume");
        Assert.Equal(json["methods"]!.ToJsonString(), again["methods"]!.ToJsonString());
    }

    [Fact]
    public async Task An_infinite_eta_is_refused_before_anything_is_written()
    {
        using TemporaryFolder folder = new();
        CliResult result = await CliRun.Run(folder.Path, [.. Sizes.Split(' '), "--eta", "inf", "--out", "run"]);
        result.Refused("--eta inf");
        Assert.Empty(folder.Entries());
    }

    private static async Task<JsonObject> Run(TemporaryFolder folder, string line) => (await CliRun.Run(folder.Path, line.Split(' '))).Json();
}
