using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>How a guide is learned, as a user says it.</summary>
public sealed class LearningOptionsTests(InitialModelTests.Run run) : IClassFixture<InitialModelTests.Run>
{
    [Fact]
    public async Task Losses_and_batches_of_a_distribution_leave_a_report_and_a_picture()
    {
        JsonObject report = await run.Done(
            "train", "--data", "data", "--family", "categorical", "--atoms", "5", "--loss", "kl-regularised", "--lag", "10", "--loss-on-prompt-end", "--batch-tokens", "160",
            "--held-out", "0.5", "--keep-no-variation", "--guide-steps", "30", "--out", "regularised");
        Assert.NotNull(report["held_out"]!["brier"]);
        Assert.Equal((2, 0), ((int)report["problems"]!, (int)report["dropped_problems"]!));
        byte[] picture = File.ReadAllBytes(run.Folder["regularised", "reliability.png"]);
        Assert.True(picture.Length > 5000 && picture[1] == 'P');
        Assert.Contains("Brier", File.ReadAllText(run.Folder["regularised", "reliability.svg"]));
        JsonObject config = JsonNode.Parse(File.ReadAllText(run.Folder["regularised", "config.json"]))!.AsObject();
        Assert.Equal(("kl-regularised", 10, 160), ((string)config["loss"]!, (int)config["lag"]!, (int)config["batch_tokens"]!));
        // What it says of prompts is known to whoever decodes from it.
        JsonObject guide = await Inspect("regularised/guide");
        Assert.True((bool)guide["prompt_value"]!);
        Assert.Contains("of prompts too", (await CliRun.Run(run.Folder.Path, "inspect", "regularised/guide")).Out);
        JsonObject budget = await run.Done("evaluate", "--guide", "regularised/guide", "--methods", "qsharp", "--kl-budget", "0.01", "--samples", "20", "--out", "budget");
        Assert.Equal(0.01, (double)budget["results"]![1]!["foretold"]!["kl"]!, 1e-4);
        await run.Done("train", "--data", "data", "--family", "categorical", "--loss", "sinkhorn", "--prefix", "single", "--guide-steps", "20", "--out", "sinkhorn");
        Assert.False((bool)(await Inspect("sinkhorn/guide"))["prompt_value"]!);
        await run.Done("train", "--data", "data", "--method", "cd-q", "--guide-steps", "5", "--batch", "4", "--out", "cd-q");
    }

    [Fact]
    public async Task A_guide_for_one_eta_is_decoded_at_that_eta_alone()
    {
        await run.Done("train", "--data", "data", "--loss", "exponential", "--eta", "0.2", "--batch", "8", "--learning-rate", "3e-3", "--guide-steps", "150", "--out", "exponential");
        JsonNode own = JsonNode.Parse(File.ReadAllText(run.Folder["exponential/guide/config.json"]))!["qsharp"]!;
        Assert.Equal(("exponential", 0.2), ((string)own["target"]!, (double)own["eta"]!));
        JsonObject report = await run.Done("evaluate", "--guide", "exponential/guide", "--eta", "0.2", "--methods", "qsharp", "--samples", "200", "--out", "at-eta");
        double[] pass = [.. report["results"]!.AsArray().Select(each => (double)each!["pass_at_1"]!)];
        Assert.True(pass[1] > pass[0] + 0.05, $"pass@1 is {pass[0]} and {pass[1]}.");
        await Refused(["evaluate", "--guide", "exponential/guide", "--eta", "0.1", "--methods", "qsharp"], "η = 0.2");
        await Refused(["evaluate", "--guide", "exponential/guide", "--eta", "0.2", "--methods", "cd"], "exponential");
        await Refused(["diagnose", "--guide", "exponential/guide"], "exponential/guide", "η = 0.2");
    }

    /// <summary>Its targets are means over the candidates as they are decoded.</summary>
    [Fact]
    public async Task A_guide_that_candidates_shape_is_gone_on_with_at_the_same_ones()
    {
        string[] train = ["--data", "data", "--method", "cd-q", "--guide-steps", "2", "--batch", "4", "--out", "cd-q-k"];
        await run.Done("train", [.. train, "--candidates", "5"]);
        await run.Done("train", [.. train, "--candidates", "5", "--resume"]);
        (await run.Cli("train", [.. train, "--candidates", "9", "--resume"])).Refused("candidates");
    }

    [Theory]
    [InlineData("--method qsharp-td --head q --held-out 0.5", "--held-out")]
    [InlineData("--loss exponential", "--eta"), InlineData("--loss sinkhorn", "--family categorical"), InlineData("--eta 0.1", "every η")]
    [InlineData("--kappa 2", "kl-regularised"), InlineData("--loss mse --method cd", "--loss"), InlineData("--batch-tokens 3", "longest roll-out")]
    [InlineData("--init x --method ppo", "--init"), InlineData("--loss-on-prompt-end --head q", "--head v")]
    [InlineData("--atoms 21", "--atoms"), InlineData("--head-hidden 64", "--trunk shared"), InlineData("--epochs 3 --guide-steps 5", "--epochs"), InlineData("--method ppo --eta 0.3", "--eta")]
    [InlineData("--method dpo --trunk shared", "--trunk"), InlineData("--method sft --plus-minus", "--plus-minus"), InlineData("--beta 0.1", "--beta")]
    public async Task What_has_no_sense_is_refused_before_anything_is_written(string options, string name)
    {
        string[] data = options.Contains("ppo") ? [] : ["--data", "data"];
        await Refused(["train", .. data, .. options.Split(' ')], name);
    }

    private async Task<JsonObject> Inspect(string guide)
    {
        CliResult result = await CliRun.Run(run.Folder.Path, "inspect", guide, "--json");
        return result.Json()["guide"]!.AsObject();
    }

    private async Task Refused(string[] args, params string[] names)
    {
        CliResult result = await run.Cli(args[0], [.. args[1..], "--out", "never"]);
        result.Refused(names);
        Assert.False(Directory.Exists(run.Folder["never"]));
    }
}
