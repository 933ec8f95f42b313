using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>Data sets of a file of problems: which problem is which, rounds, and what does not belong together.</summary>
public sealed class CollectVerbTests : IDisposable
{
    private readonly TinyTextModel _model = new();
    private readonly TemporaryFolder _folder = new();

    public CollectVerbTests()
    {
        File.WriteAllLines(_folder["task.jsonl"], Enumerable.Range(0, 12).Select(i => $$"""{"prompt": "{{(char)('a' + i)}} cat", "rule": {"matches": "[eg]"} }"""));
        File.WriteAllText(_folder["other.jsonl"], """{"prompt": "the cat", "rule": {"contains": "a"}}""");
    }

    /// <summary>Else prompts would be held out and trained on, and those without variation kept.</summary>
    [Fact]
    public async Task A_prompt_that_comes_again_is_the_same_problem_in_every_round()
    {
        JsonObject first = await Done("collect", "--rollouts", "48", "--samples", "2", "--roll-in", "policy", "--out", "data");
        Assert.Equal((48, 12), ((int)first["rollouts"]!, (int)first["prompts"]!));
        JsonObject trained = await Done("train", "--data", "data", "--keep-no-variation", "--guide-steps", "2", "--out", "run");
        Assert.Equal(12, (int)trained["problems"]!);
        Assert.NotNull(trained["held_out"]);
        JsonObject second = await Done("collect", "--round", "2", "--guide", "run/guide", "--rollouts", "20", "--samples", "2", "--out", "data", "--resume");
        Assert.Equal((68, 12), ((int)second["rollouts"]!, (int)second["prompts"]!));
        List<Rollout> rollouts = RolloutFile.Read(RolloutSet.DataPath(_folder["data"]));
        Assert.Equal((48, 20), (rollouts.Count(each => each.Round == 1), rollouts.Count(each => each.Round == 2)));
        Assert.All(rollouts.GroupBy(each => each.Problem), group => Assert.Single(group.Select(each => string.Join(' ', each.Tokens[..each.PromptLength])).Distinct()));
        Assert.Equal(12, rollouts.Select(each => each.Problem).Distinct().Count());
    }

    /// <summary>Of which the rewards of held-out problems would say nothing.</summary>
    [Fact]
    public async Task Soft_values_are_learned_from_all_problems_in_every_epoch()
    {
        await Done("collect", "--rollouts", "48", "--samples", "2", "--out", "data");
        string[] train = ["train", "--data", "data", "--method", "qsharp-td", "--head", "q", "--eta", "0.5", "--keep-no-variation", "--epochs", "1", "--batch", "4"];
        await Refused([.. train, "--held-out", "0.5", "--out", "never"], "--held-out");
        Assert.Null((await Done("train", [.. train[1..], "--out", "run"]))["held_out"]);
        Assert.Equal(48 / 4, File.ReadLines(_folder["run", "metrics.jsonl"]).Count());
    }

    [Fact]
    public async Task A_round_is_gone_on_with_as_it_was_begun()
    {
        await Done("collect", "--rollouts", "8", "--out", "data");
        await Refused(["collect", "--rollouts", "16", "--roll-in", "policy", "--out", "data", "--resume"], "round 1", "roll_in");
        await Done("collect", "--rollouts", "16", "--out", "data", "--resume");
    }

    [Fact]
    public async Task Roll_outs_of_other_problems_are_refused_and_those_whose_files_are_not_at_hand_are_not()
    {
        await Done("collect", "--rollouts", "8", "--out", "data");
        await Refused(["train", "--task", "other.jsonl", "--data", "data", "--out", "never"], "data", "rules,file=");
        await Refused(["train", "--task", "gsm8k", "--data", "data", "--out", "never"], "data", "gsm8k");
        await Refused(["collect", "--task", "other.jsonl", "--rollouts", "16", "--out", "data", "--resume"], "data");
        File.WriteAllLines(_folder["sums.jsonl"], Enumerable.Range(0, 20).Select(i => $$"""{"question": "{{(char)('a' + i)}} hello", "answer": "#### {{i}}"}"""));
        await Done("collect", "--task", "gsm8k", "--data", "sums.jsonl", "--rollouts", "8", "--out", "sums");
        await Done("train", "--task", "gsm8k", "--data", "sums", "--guide-steps", "1", "--out", "run");
    }

    [Fact]
    public async Task Training_is_gone_on_with_the_data_that_it_was_begun_with()
    {
        await Done("collect", "--rollouts", "16", "--out", "data");
        await Done("train", "--data", "data", "--guide-steps", "2", "--out", "run");
        await Done("train", "--data", "data", "--guide-steps", "2", "--out", "run", "--resume");
        await Done("collect", "--rollouts", "24", "--out", "data", "--resume");
        await Refused(["train", "--data", "data", "--guide-steps", "2", "--out", "run", "--resume"], "data");
    }

    [Fact]
    public async Task Shards_are_diagnosed_together()
    {
        foreach (string shard in (string[])["1/2", "2/2"]) await Done("collect", "--rollouts", "32", "--samples", "4", "--shard", shard, "--out", "data");
        JsonObject report = await Done("diagnose", "--data", "data", "--out", "diagnosis");
        Assert.Equal(8, (int)report["data"]!["prompts"]!);
    }

    [Fact]
    public async Task A_folder_has_shards_of_one_data_set()
    {
        string[] collect = ["collect", "--rollouts", "8"];
        await Done("collect", "--rollouts", "8", "--out", "whole");
        await Done("collect", "--rollouts", "8", "--shard", "1/2", "--out", "halves");
        string[] before = _folder.Entries();
        await Refused([.. collect, "--shard", "1/2", "--out", "whole"], "--out whole", "without shards");
        await Refused([.. collect, "--shard", "1/2", "--out", "whole", "--resume"], "--out whole", "without shards");
        await Refused([.. collect, "--shard", "1/3", "--out", "halves"], "--out halves", "2 shards");
        await Refused([.. collect, "--out", "halves", "--resume"], "--out halves", "2 shards");
        Assert.Equal(before, _folder.Entries());
        await Done("collect", "--rollouts", "8", "--out", "whole", "--overwrite");
        (await Cli("train", ["--data", "whole", "--out", "whole", "--overwrite"])).Refused("--overwrite", "--data whole", "--out whole");
        Assert.True(File.Exists(_folder["whole", "rollouts.bin"]));
    }

    /// <summary>Each numbers its samples by the whole set, which its own records do not tell.</summary>
    [Fact]
    public async Task Shards_of_a_later_round_are_still_one_data_set()
    {
        await Done("collect", "--rollouts", "16", "--out", "first");
        await Done("train", "--data", "first", "--keep-no-variation", "--guide-steps", "1", "--out", "run");
        string[] shards = ["1/3", "2/3", "3/3"], second = ["--rollouts", "4", "--round", "2", "--guide", "run/guide", "--resume"];
        await Done("collect", "--rollouts", "4", "--out", "whole");
        Assert.Equal(8, (int)(await Done("collect", [.. second, "--out", "whole"]))["rollouts"]!);
        foreach (string shard in shards) await Done("collect", "--rollouts", "4", "--shard", shard, "--out", "parts");
        foreach (string shard in shards) await Done("collect", [.. second, "--shard", shard, "--out", "parts"]);
        await Done("collect", [.. second, "--shard", "2/3", "--out", "parts"]);   // nothing to do
        IEnumerable<Rollout> parts = shards.SelectMany(shard => RolloutFile.Read(RolloutSet.DataPath(_folder["parts"], Shard.Parse(shard)))).OrderBy(each => each.Sample);
        Assert.Equal(RolloutFile.Read(RolloutSet.DataPath(_folder["whole"])).Select(Text), parts.Select(Text));

        static string Text(Rollout each) => $"{each.Sample} {each.Round} {each.Problem} {each.Reward} {string.Join(' ', each.Tokens)}";
    }

    [Fact]
    public async Task A_shard_may_have_nothing_to_collect()
    {
        foreach (string shard in (string[])["1/3", "2/3", "3/3"]) await Done("collect", "--rollouts", "8", "--samples", "4", "--hidden", "--shard", shard, "--out", "data");
        Assert.Empty(RolloutFile.Read(RolloutSet.DataPath(_folder["data"], Shard.Parse("3/3"))));
        JsonObject trained = await Done("train", "--trunk", "shared", "--data", "data", "--keep-no-variation", "--guide-steps", "2", "--out", "run");
        Assert.Equal(2, (int)trained["problems"]!);
    }

    /// <summary>Its samples would get numbers that those of the later round have.</summary>
    [Fact]
    public async Task A_round_that_a_later_one_follows_does_not_grow()
    {
        await Done("collect", "--rollouts", "4", "--out", "data");
        await Done("train", "--data", "data", "--keep-no-variation", "--guide-steps", "1", "--out", "run");
        await Done("collect", "--round", "2", "--guide", "run/guide", "--rollouts", "4", "--out", "data", "--resume");
        byte[] before = File.ReadAllBytes(RolloutSet.DataPath(_folder["data"]));
        await Refused(["collect", "--rollouts", "8", "--out", "data", "--resume"], "data", "round 1", "later round");
        await Done("collect", "--rollouts", "4", "--out", "data", "--resume");   // it is done as it was asked for
        Assert.Equal(before, File.ReadAllBytes(RolloutSet.DataPath(_folder["data"])));
        Assert.Equal(10, (int)(await Done("collect", "--round", "2", "--guide", "run/guide", "--rollouts", "6", "--out", "data", "--resume"))["rollouts"]!);
    }

    /// <summary>Rotary positions go on past the context that the model was trained with.</summary>
    [Fact]
    public async Task Texts_that_may_run_past_the_models_context_are_noted_once()
    {
        File.WriteAllText(_folder["long.jsonl"], new JsonObject { ["prompt"] = string.Join(' ', Enumerable.Repeat("cat", 124)), ["rule"] = new JsonObject { ["contains"] = "a" } }.ToJsonString());
        string[] task = ["--task", "long.jsonl"];
        await Done("collect", "--rollouts", "8", "--roll-in", "policy", "--out", "data");
        await Done("train", "--data", "data", "--guide-steps", "1", "--out", "run");
        string[][] verbs =
        [
            ["collect", "--rollouts", "2", "--out", "long"], ["evaluate", "--out", "evaluated"],
            ["diagnose", "--guide", "run/guide", "--measure", "--samples", "2", "--out", "diagnosed"],
        ];
        foreach (string[] verb in verbs)
        {
            CliResult result = await CliRun.Run(_folder.Path, [.. verb, .. task, "--model", _model.Path, "--max-tokens", "8", "--json"]);
            result.Done();
            Assert.Equal(2, result.Error.Split("Prompt and response may take").Length);
            Assert.Contains("but the model's context is 128.", result.Error, StringComparison.Ordinal);
        }
    }

    /// <summary>One token of each response is uniform over a few, so no response is a sample of what the reference does with the prompt.</summary>
    [Fact]
    public async Task Responses_with_a_switched_token_do_not_count_as_the_references_own()
    {
        await Done("collect", "--rollouts", "16", "--roll-in", "policy", "--switch-action", "uniform-topk", "--out", "data");
        await Refused(["diagnose", "--data", "data", "--out", "never"], "--switch-action");
        await Refused(["train", "--data", "data", "--loss-on-prompt-end", "--out", "never"], "--switch-action");
        await Refused(["train", "--method", "algae-dice", "--data", "data", "--policy-steps", "2", "--out", "never"], "--switch-action");
        await Done("train", "--data", "data", "--guide-steps", "1", "--out", "run");
    }

    [Theory]
    [InlineData("--hidden --hidden-layer 9", "--hidden-layer 9"), InlineData("--task gsm8k --test-data sums.jsonl", "--data")]
    [InlineData("--guide none", "--round 2"), InlineData("--eta 0.3", "--round 2"), InlineData("--round 16", "from 1 to 15")]
    public async Task What_cannot_be_collected_leaves_no_folder(string options, string name)
    {
        File.WriteAllText(_folder["sums.jsonl"], """{"question": "hello", "answer": "#### 5"}""");
        await Refused(["collect", "--rollouts", "8", "--out", "never", .. options.Split(' ')], name);
    }

    private async Task<JsonObject> Done(string verb, params string[] args) => (await Cli(verb, args)).Json();

    private async Task Refused(string[] args, params string[] names)
    {
        CliResult result = await Cli(args[0], args[1..]);
        result.Refused(names);
        Assert.False(Directory.Exists(_folder["never"]));
    }

    private Task<CliResult> Cli(string verb, string[] args) =>
        CliRun.Run(_folder.Path, [verb, .. args.Contains("--task") ? [] : (string[])["--task", "task.jsonl"], "--model", _model.Path, "--max-tokens", "8", .. args, "--json", "--quiet"]);

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }
}
