using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>A guide on the reference's own hidden states, from prompts and rules to guided text, through the command line alone.</summary>
public sealed class SharedTrunkVerbTests : IDisposable
{
    private readonly TinyTextModel _model = new();
    private readonly TemporaryFolder _folder = new();

    public SharedTrunkVerbTests() => File.WriteAllText(_folder["task.jsonl"], GuidedTextTests.Run.Prompts);

    [Theory, InlineData(0), InlineData(1)]
    public async Task A_head_on_a_layers_states_is_learned_without_the_transformer_and_steers(int layer)
    {
        string number = layer.ToString();
        await Done("collect", "--rollouts", "300", "--samples", "4", "--roll-in", "policy", "--hidden", "--hidden-layer", number, "--out", "data");
        await Done("train", "--trunk", "shared", "--data", "data", "--batch", "64", "--learning-rate", "1e-2", "--guide-steps", "300", "--out", "run");
        using (SafeTensorsFolder guide = SafeTensorsFolder.Open(_folder["run", "guide"]))
            Assert.DoesNotContain(((ITensorSource)guide).Tensors, tensor => tensor.Name.StartsWith("model."));
        JsonObject report = await Done("evaluate", "--guide", "run/guide", "--eta", "0.1", "--methods", "qsharp", "--samples", "300", "--out", "evaluation");
        double[] pass = [.. report["results"]!.AsArray().Select(each => (double)each!["pass_at_1"]!)];
        Assert.True(pass[1] > pass[0] + 0.05, $"pass@1 is {pass[0]} and {pass[1]}.");
        CliResult text = await CliRun.Run(_folder.Path, "generate", "--model", _model.Path, "--guide", "run/guide", "--prompt", "the cat", "--max-tokens", "8");
        text.Done();
    }

    [Theory]
    [InlineData("--hidden-layer 1", "--hidden"), InlineData("--hidden --hidden-layer 3", "2 layers")]
    public async Task A_layer_that_nothing_reads_or_that_is_not_there_is_refused(string options, string name)
    {
        CliResult result = await Cli("collect", ["--rollouts", "8", "--out", "never", .. options.Split(' ')]);
        result.Refused(name);
    }

    [Fact]
    public async Task Without_stored_states_the_sentence_says_what_to_collect()
    {
        await Done("collect", "--rollouts", "40", "--samples", "4", "--roll-in", "policy", "--out", "data");
        CliResult result = await Cli("train", "--trunk", "shared", "--data", "data", "--out", "never");
        Assert.Equal(2, result.ExitCode);
        Sentence.Assert(result.Error.Split('\n')[0], "--hidden");
    }

    private async Task<JsonObject> Done(string verb, params string[] args) => (await Cli(verb, args)).Json();

    private Task<CliResult> Cli(string verb, params string[] args) =>
        CliRun.Run(_folder.Path, [verb, "--task", "task.jsonl", "--model", _model.Path, "--max-tokens", "12", .. args, "--json", "--quiet"]);

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }
}
