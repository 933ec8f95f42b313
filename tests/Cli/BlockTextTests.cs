using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>Text that is written a block at a time, a guide choosing among some of the reference's.</summary>
public sealed class BlockTextTests(GuidedTextTests.Run run) : IClassFixture<GuidedTextTests.Run>
{
    private readonly string[] _generate = ["generate", "--model", run.Model.Path, "--chat", "--prompt", "hello", "--max-tokens", "12", "--temperature", "0.9", "--quiet"];

    [Fact]
    public async Task Chosen_blocks_are_rewarded_more_often_and_are_the_same_in_any_batch()
    {
        JsonObject[] reference = await Json("--samples", "80"), whole = await Json("--samples", "80", "--guide", "guide/guide", "--blocks", "8,12");
        Assert.True(Share(whole) > Share(reference) + 0.1, $"The rule holds for {Share(whole)} of the chosen texts and {Share(reference)} of all.");
        JsonObject[] parts = await Json("--samples", "20", "--guide", "guide/guide", "--blocks", "4,5");
        JsonObject[] alone = await Json("--samples", "20", "--guide", "guide/guide", "--blocks", "4,5", "--batch-rows", "1");
        Assert.Equal(alone.Select(each => each["ids"]!.ToJsonString()), parts.Select(each => each["ids"]!.ToJsonString()));
        foreach (JsonObject each in parts)
        {
            int tokens = each["ids"]!.AsArray().Count;
            // Of the law itself a bound on its KL is known, and no probability.
            Assert.Equal(new BlockSettings(4, 5).KlBound(tokens), (double)each["kl_bound"]!, 1e-9);
            Assert.True(each.ContainsKey("kl") && each["kl"] is null && each["logprobs"] is null);
            Assert.Equal(tokens, each["reference_logprobs"]!.AsArray().Count);
        }

        static double Share(JsonObject[] samples) => samples.Average(each => Regex.IsMatch((string)each["text"]!, "[xyz]") ? 1.0 : 0);
    }

    [Fact]
    public async Task A_single_text_is_printed_as_it_is_chosen_and_cut_at_a_stop_text()
    {
        string[] blocks = ["--guide", "guide/guide", "--blocks", "4,3", "--ignore-eos"];
        string whole = (string)(await Json(blocks))[0]["text"]!, end = whole[(whole.Length / 2)..(whole.Length / 2 + 1)];
        Assert.Equal(whole + "\n", await Text(blocks));
        JsonObject cut = (await Json([.. blocks, "--stop", end]))[0];
        Assert.Equal(("stop", whole[..whole.IndexOf(end, StringComparison.Ordinal)]), ((string)cut["finish"]!, (string)cut["text"]!));
        Assert.Equal((string)cut["text"]! + "\n", await Text([.. blocks, "--stop", end]));
    }

    [Theory]
    [InlineData("--blocks 4,3", "--guide"), InlineData("--guide guide/guide --blocks 4,3 --eta 1", "--eta"), InlineData("--guide guide/guide --blocks 4,3 --method cd", "--method")]
    [InlineData("--guide guide/guide --blocks 4,3 --kl-budget 1", "--kl-budget"), InlineData("--guide guide/guide --blocks 4", "M,B")]
    public async Task A_tilt_and_blocks_exclude_each_other(string options, string says)
    {
        CliResult result = await CliRun.Run(run.Folder.Path, [.. _generate, .. options.Split(' ')]);
        result.Refused(says);
    }

    private async Task<JsonObject[]> Json(params string[] options) =>
        [.. (await Text([.. options, "--json"])).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())];

    private async Task<string> Text(params string[] options)
    {
        CliResult result = await CliRun.Run(run.Folder.Path, [.. _generate, .. options]);
        result.Done();
        return result.Out;
    }
}
