using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>A guide that starts from a smaller model with the reference's tokenizer and steers the larger one.</summary>
public sealed class InitialModelTests(InitialModelTests.Run run) : IClassFixture<InitialModelTests.Run>
{
    /// <summary>Roll-outs of a reference, and a smaller model whose logits are padded otherwise.</summary>
    public sealed class Run : IAsyncLifetime
    {
        internal TinyTextModel Reference { get; } = new();

        internal TinyTextModel Smaller { get; } = new(seed: 8, layers: 1, width: 16, padding: 3);

        internal TemporaryFolder Folder { get; } = new();

        public async ValueTask InitializeAsync()
        {
            File.WriteAllText(Folder["task.jsonl"], GuidedTextTests.Run.Prompts);
            await Done("collect", "--rollouts", "300", "--samples", "4", "--roll-in", "policy", "--out", "data");
        }

        internal async Task<JsonObject> Done(string verb, params string[] args) => (await Cli(verb, args)).Json();

        internal Task<CliResult> Cli(string verb, params string[] args) =>
            CliRun.Run(Folder.Path, [verb, "--task", "task.jsonl", "--model", Reference.Path, "--max-tokens", "12", .. args, "--json", "--quiet"]);

        public ValueTask DisposeAsync()
        {
            Folder.Dispose();
            Reference.Dispose();
            Smaller.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    [Fact]
    public async Task The_smaller_model_becomes_a_guide_of_its_own_size_that_steers_the_reference()
    {
        await run.Done("train", "--data", "data", "--init", run.Smaller.Path, "--batch", "8", "--learning-rate", "3e-3", "--guide-steps", "150", "--out", "v");
        JsonObject config = Config("v/guide");
        Assert.Equal((16, run.Smaller.Tokens + 3), ((int)config["hidden_size"]!, (int)config["vocab_size"]!));
        JsonObject report = await run.Done("evaluate", "--guide", "v/guide", "--eta", "0.1", "--methods", "qsharp", "--samples", "300", "--out", "evaluation");
        double[] pass = [.. report["results"]!.AsArray().Select(each => (double)each!["pass_at_1"]!)];
        Assert.True(pass[1] > pass[0] + 0.05, $"pass@1 is {pass[0]} and {pass[1]}.");

        CliResult text = await CliRun.Run(run.Folder.Path, ["generate", "--model", run.Reference.Path, "--guide", "v/guide", "--prompt", "the cat", "--max-tokens", "8"]);
        Assert.Equal(0, text.ExitCode);
        // The likeliest token of a guided law has a token, though the reference has rows without one that the guide lacks.
        CliResult greedy = await CliRun.Run(
            run.Folder.Path, ["generate", "--model", run.Reference.Path, "--guide", "v/guide", "--prompt", "the cat", "--max-tokens", "4", "--temperature", "0", "--json", "--quiet"]);
        Assert.All(greedy.Json()["ids"]!.AsArray(), id => Assert.InRange((int)id!, 0, run.Reference.Tokens - 1));
        await Refused(["generate", "--model", run.Smaller.Path, "--guide", "v/guide", "--prompt", "a"], "another reference");

        CliResult table = await CliRun.Run(run.Folder.Path, ["inspect", "v/guide"]);
        Assert.Contains("guide folder", table.Out);
        Assert.Contains("a trunk of its own, read at a token (v), chance of a reward, started from another model", table.Out);
    }

    [Theory, InlineData("v"), InlineData("q")]
    public async Task Nothing_learned_the_trunk_is_the_smaller_models_and_the_head_is_as_asked(string head)
    {
        string[] categorical = ["--family", "categorical", "--atoms", "3"];
        await run.Done("train", ["--data", "data", "--init", run.Smaller.Path, "--head", head, .. categorical, "--learning-rate", "1e-12", "--guide-steps", "1", "--out", "first-" + head]);
        Dictionary<string, float[]> small = Tensors(run.Smaller.Path), guide = Tensors($"first-{head}/guide");
        Assert.False(guide.ContainsKey("value_head.bias"));
        foreach ((string name, float[] values) in small)
            if (name != "lm_head.weight") AssertNear(values, guide[name]);
        float[] rows = guide["value_head.weight"];
        if (head == "v")
        {
            Assert.Equal(3 * 16, rows.Length);
            Assert.InRange(Math.Sqrt(rows.Average(value => value * value)), 0.012, 0.028);
        }
        else
        {
            for (int token = 0; token < run.Smaller.Tokens + 3; token++)
                for (int atom = 0; atom < 3; atom++)
                    AssertNear(small["lm_head.weight"].AsSpan(token * 16, 16).ToArray(), rows.AsSpan((token * 3 + atom) * 16, 16).ToArray());
        }
        // Its own outputs say what it is: nothing of it is asked for again.
        foreach (string candidates in (string[])["3", "all"])
            await run.Done("evaluate", "--guide", $"first-{head}/guide", "--eta", "0.5", "--methods", "qsharp", "--samples", "4", "--candidates", candidates, "--out", $"evaluation-{head}-{candidates}");
    }

    [Fact]
    public async Task A_guide_may_start_from_the_first_layers_alone()
    {
        await run.Done("train", "--data", "data", "--init-layers", "1", "--learning-rate", "1e-12", "--guide-steps", "1", "--out", "first-layer");
        Assert.Equal(1, (int)Config("first-layer/guide")["num_hidden_layers"]!);
        Dictionary<string, float[]> whole = Tensors(run.Reference.Path), guide = Tensors("first-layer/guide");
        Assert.Contains(guide.Keys, name => name.StartsWith("model.layers.0."));
        Assert.DoesNotContain(guide.Keys, name => name.StartsWith("model.layers.1."));
        foreach ((string name, float[] values) in guide)
            if (!name.StartsWith("value_head")) AssertNear(whole[name], values);
        await run.Done("evaluate", "--guide", "first-layer/guide", "--eta", "0.5", "--methods", "qsharp", "--samples", "4", "--out", "evaluation-layer");
    }

    [Fact]
    public async Task A_model_with_other_tokens_or_a_use_that_has_no_sense_is_refused_before_anything_is_written()
    {
        using TinyTextModel other = new(layers: 1);
        JsonObject tokenizer = JsonNode.Parse(File.ReadAllText(other["tokenizer.json"]))!.AsObject();
        JsonObject vocabulary = tokenizer["model"]!["vocab"]!.AsObject();
        (vocabulary["x"], vocabulary["y"]) = ((int)vocabulary["y"]!, (int)vocabulary["x"]!);
        File.WriteAllText(other["tokenizer.json"], tokenizer.ToJsonString());
        await Refused(Train("--init", other.Path), "tokenizer", "token 27");
        await Refused(Train("--init", "nowhere"), "nowhere");
        await Refused(Train("--init", run.Smaller.Path, "--trunk", "shared"), "--trunk shared");
        await Refused(Train("--init", run.Smaller.Path, "--init-layers", "2"), "--init-layers 2", "has 1");
        await Refused(Train("--init-layers", "1", "--trunk", "shared"), "--init-layers");
        await Refused(Train("--init-layers", "1", "--method", "qsharp-td", "--head", "q"), "--init-layers");
        await Refused(Train("--head-init", "reuse"), "--head q");
        await Refused(Train("--head-init", "random", "--trunk", "shared"), "--head-init");
        Assert.False(Directory.Exists(run.Folder["never"]));
    }

    private string[] Train(params string[] args) =>
        ["train", "--task", "task.jsonl", "--model", run.Reference.Path, "--data", "data", "--out", "never", .. args];

    private async Task Refused(string[] args, params string[] names) => (await CliRun.Run(run.Folder.Path, [.. args, "--quiet"])).Refused(names);

    private JsonObject Config(string folder) => JsonNode.Parse(File.ReadAllText(run.Folder[folder, "config.json"]))!.AsObject();

    private Dictionary<string, float[]> Tensors(string folder)
    {
        using SafeTensorsFolder tensors = SafeTensorsFolder.Open(System.IO.Path.Combine(run.Folder.Path, folder));
        ITensorSource source = tensors;
        return source.Tensors.ToDictionary(entry => entry.Name, entry =>
        {
            float[] values = new float[entry.Count];
            source.CopyTo(entry.Name, 0, values);
            return values;
        });
    }

    private static void AssertNear(float[] expected, float[] actual) => Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));
}
