using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>Policies of a text model, from a file of prompts and rules to the policy's own text, through the command line alone.</summary>
public sealed class TextPolicyTests(TextPolicyTests.Run run) : IClassFixture<TextPolicyTests.Run>
{
    /// <summary>Roll-outs of the reference and what it is rewarded for, made once.</summary>
    public sealed class Run : IAsyncLifetime
    {
        internal TinyTextModel Model { get; } = new();

        internal TemporaryFolder Folder { get; } = new();

        internal double Reward { get; private set; }

        public async ValueTask InitializeAsync()
        {
            const string rule = """ "rule": {"matches": "[eg]"}}""";
            File.WriteAllLines(Folder["task.jsonl"],
            [
                """{"messages": [{"role": "user", "content": "hello"}],""" + rule,
                .. Enumerable.Range(0, 40).Select(i => $$"""{"prompt": "{{(char)('a' + i % 26)}} cat {{(char)('z' - i % 23)}}",""" + rule),
            ]);
            await Done("collect", "--rollouts", "400", "--samples", "4", "--out", "data");
            Reward = await PassAt1(Model.Path);
        }

        internal Task<CliResult> Cli(string verb, string model, params string[] args) =>
            CliRun.Run(Folder.Path, [verb, "--task", "task.jsonl", "--model", model, "--max-tokens", "12", "--threads", "1", .. args, "--json", "--quiet"]);

        internal async Task<JsonObject> Done(string verb, params string[] args) => (await Cli(verb, Model.Path, args)).Json();

        /// <summary>Share of right responses.</summary>
        internal async Task<double> PassAt1(string model)
        {
            CliResult result = await Cli("evaluate", model, "--samples", "10", "--methods", "reference", "--out", Path.GetRandomFileName());
            return (double)result.Json()["results"]![0]!["pass_at_1"]!;
        }

        public ValueTask DisposeAsync()
        {
            Folder.Dispose();
            Model.Dispose();
            return ValueTask.CompletedTask;
        }
    }

    [Theory, InlineData("reinforce"), InlineData("rloo"), InlineData("ppo"), InlineData("dpo"), InlineData("rpo"), InlineData("sft")]
    public async Task A_policy_is_rewarded_more_than_its_reference_and_writes_text(string method)
    {
        bool samples = method is "reinforce" or "rloo" or "ppo";
        string[] data = samples ? [] : ["--data", "data"];
        await run.Done("train", ["--method", method, .. data, "--policy-steps", "60", "--policy-batch", "16", "--policy-rate", "3e-3", "--out", method]);
        string policy = run.Folder[method, "policy"];
        double reward = await run.PassAt1(policy);
        Assert.True(reward > run.Reward + 0.15, $"The policy has {reward}, the reference {run.Reward}.");
        if (samples)
        {
            double[] rewards = [.. File.ReadLines(run.Folder[method, "metrics.jsonl"]).Select(line => (double)JsonNode.Parse(line)!["reward"]!)];
            Assert.True(rewards[^15..].Average() > rewards[..15].Average() + 0.1, string.Join(' ', rewards));
        }
        CliResult text = await CliRun.Run(run.Folder.Path, ["generate", "--model", policy, "--chat", "--prompt", "hello", "--samples", "20", "--max-tokens", "40", "--json", "--quiet"]);
        text.Done();
        JsonObject[] responses = [.. text.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())];
        Assert.All(responses, each => Assert.All(each["ids"]!.AsArray(), id => Assert.InRange((int)id!, 0, run.Model.Tokens - 1)));
        Assert.Contains(responses, each => (string)each["finish"]! == "eos");
    }

    /// <summary>Guides hold some problems out to choose their parameters by; this is the one of ten that would be.</summary>
    [Fact]
    public async Task A_policy_learns_from_all_problems()
    {
        File.WriteAllLines(run.Folder["ten.jsonl"], Enumerable.Range(0, 10).Select(i =>
            $$$"""{"prompt": "{{{(char)('a' + i)}}} cat", "rule": {"matches": "{{{(i == 2 ? "[a-z]" : "no such text")}}}"}}"""));
        CliResult collected = await CliRun.Run(run.Folder.Path, ["collect", "--task", "ten.jsonl", "--model", run.Model.Path, "--max-tokens", "12", "--rollouts", "40", "--samples", "4", "--out", "ten", "--quiet"]);
        collected.Done();
        CliResult trained = await CliRun.Run(run.Folder.Path, ["train", "--task", "ten.jsonl", "--model", run.Model.Path, "--max-tokens", "12", "--method", "sft", "--data", "ten", "--policy-steps", "1", "--out", "sft-ten", "--quiet"]);
        trained.Done();
    }

    [Fact]
    public async Task A_run_that_was_stopped_and_resumed_makes_the_policy_of_one_that_never_stopped()
    {
        string[] train = ["--method", "ppo", "--policy-steps", "160", "--policy-batch", "8", "--policy-epochs", "2", "--seed", "5"];
        await run.Done("train", [.. train, "--out", "whole"]);
        string[] args = ["train", "--task", "task.jsonl", "--model", run.Model.Path, "--max-tokens", "12", "--threads", "1", .. train, "--out", "parts", "--json", "--quiet"];
        using (CliRun stopped = CliRun.Start(run.Folder.Path, args))
        {
            string metrics = run.Folder["parts", "metrics.jsonl"];
            while (!stopped.HasEnded && !(File.Exists(metrics) && new FileInfo(metrics).Length > 0)) await Task.Delay(2, TestContext.Current.CancellationToken);
            stopped.Interrupt();
            Assert.Equal(130, (await stopped.End()).ExitCode);
        }
        CliResult resumed = await CliRun.Run(run.Folder.Path, [.. args, "--resume"]);
        resumed.Done();
        foreach (string file in (string[])["model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
            Assert.Equal(File.ReadAllBytes(run.Folder["whole", "policy", file]), File.ReadAllBytes(run.Folder["parts", "policy", file]));
    }

    [Fact]
    public async Task A_known_task_gives_a_policy_its_problems_and_without_them_is_refused()
    {
        File.WriteAllLines(run.Folder["sums.jsonl"], Enumerable.Range(0, 30).Select(i => $$"""{"question": "{{(char)('a' + i % 26)}} {{i}}", "answer": "#### {{i}}"}"""));
        string[] train = ["train", "--task", "gsm8k", "--model", run.Model.Path, "--max-tokens", "4", "--chat-template", "none", "--method", "rloo", "--policy-steps", "2", "--policy-batch", "8", "--quiet"];
        CliResult trained = await CliRun.Run(run.Folder.Path, [.. train, "--problems", "sums.jsonl", "--out", "sums"]);
        trained.Done();
        CliResult refused = await CliRun.Run(run.Folder.Path, [.. train, "--out", "none"]);
        refused.Refused("--problems", "gsm8k");
        refused = await CliRun.Run(run.Folder.Path, [.. train.Select(arg => arg == "rloo" ? "qsharp" : arg), "--data", "data", "--out", "none"]);
        refused.Refused("--chat-template", "qsharp");
        Assert.False(Directory.Exists(run.Folder["none"]));
    }
}
