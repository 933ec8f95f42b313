using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>All methods through the command line: in one star-graph run, and one by one.</summary>
public class PolicyVerbTests
{
    private const string Sizes = "--graph 2,2 --seed 3 --threads 1 --quiet --json --policy-steps 60 --policy-batch 16 --policy-rate 1e-3";

    private static readonly string[] Policies = [.. Catalog.PolicyMethods.Select(method => method.Name)];

    [Fact]
    public async Task All_methods_are_trained_and_compared_and_each_policy_is_the_one_that_train_makes()
    {
        using TemporaryFolder folder = new();
        string star = $"star-graph {Sizes} --methods all --reference-steps 60 --guide-steps 30 --test-graphs 200 --eta 0.3,0.1 --out s";
        JsonObject[] methods = [.. (await Run(folder, star))["methods"]!.AsArray().Select(method => method!.AsObject())];
        Assert.Equal(
            ["reference", "qsharp", "qsharp", "cd", "cd", "cd-log", "vas", "vas", "cd-q", "cd-q", .. Policies], methods.Select(method => (string)method["name"]!));
        foreach (JsonObject method in methods.Where(method => Policies.Contains((string)method["name"]!)))
        {
            Assert.Null(method["eta"]);
            Assert.InRange((double)method["accuracy"]!, 0, 1);
            Assert.True(double.IsFinite((double)method["kl"]!));
        }
        Assert.True(File.Exists(folder["s", "policy-rewards.png"]));
        JsonObject[] metrics = [.. File.ReadAllLines(folder["s", "metrics.jsonl"]).Select(line => JsonNode.Parse(line)!.AsObject())];
        foreach (string name in Policies)
        {
            JsonObject[] own = [.. metrics.Where(line => (string)line["phase"]! == name)];
            Assert.Equal(Enumerable.Range(1, 60), own.Select(line => (int)line["step"]!));
            if (name is not ("sft" or "algae-dice")) Assert.All(own, line => Assert.InRange((double)line["reward"]!, 0, 1));
        }

        string one = $"{Sizes} --model s/reference --guide-steps 30";
        foreach (string method in new[] { "ppo", "rpo --data s/policy-rollouts", "sft --data s/policy-rollouts", "algae-dice --data s/policy-rollouts" })
        {
            string name = method.Split(' ')[0];
            JsonObject trained = await Run(folder, $"train {one} --method {method} --out {name}");
            Assert.Equal($"{name}/policy", (string)trained["policy"]!);
            Assert.Equal(File.ReadAllBytes(folder["s", name, "model.safetensors"]), File.ReadAllBytes(folder[name, "policy", "model.safetensors"]));
        }
        // A policy is a language model like another one.
        JsonObject evaluated = await Run(folder, $"evaluate --graph 2,2 --seed 3 --quiet --json --test-graphs 200 --model ppo/policy --out e");
        Assert.Equal((double)methods.Single(method => (string)method["name"]! == "ppo")["accuracy"]!, (double)evaluated["results"]![0]!["pass_at_1"]!);

        // How often a policy comes to a text beside π_ref, as DualDICE learns it and as it is known.
        string diagnosis = "diagnose --graph 2,2 --seed 3 --threads 1 --quiet --json --model s/reference";
        JsonObject ratios = (await Run(folder, $"{diagnosis} --data s/policy-rollouts --policy sft/policy --ratio-steps 300 --responses 400 --out d"))["ratios"]!.AsObject();
        Assert.Equal(["root", "middle", "end"], ratios.Select(each => each.Key));
        foreach ((string _, JsonNode? fit) in ratios)
        {
            Assert.InRange((double)fit!["mean"]!, 0.7, 1.3);
            Assert.InRange((double)fit["known_mean"]!, 0.8, 1.2);
        }
        Assert.InRange((double)ratios["end"]!["correlation"]!, 0.3, 1);
        await Refused(folder, $"{diagnosis} --policy ppo/policy --out no", "--data");

        await Refused(folder, $"train {one} --method dpo --out no", "--data");
        await Refused(folder, $"train {one} --method algae-dice --data s/policy-rollouts --dice-alpha 0 --out no", "--dice-alpha");
        await Refused(folder, $"train {one} --method reinforce --data s/policy-rollouts --out no", "leave --data out");
        await Refused(folder, $"train {one} --method rloo --policy-samples 5 --out no", "--policy-batch 16");
        await Refused(folder, $"train {one.Replace("--seed 3", "--seed 4")} --method dpo --data s/policy-rollouts --out no", "--seed");
        Assert.False(Directory.Exists(folder["no"]));

        // The best of some blocks: what it costs in KL is known as a bound.
        string best = $"evaluate --graph 2,2 --seed 3 --quiet --json --test-graphs 200 --model s/reference --methods reference --blocks 4,1 --out b";
        JsonObject chosen = (await Run(folder, $"{best} --guide s/guide"))["results"]![1]!.AsObject();
        Assert.Equal("cd-blocks", (string)chosen["method"]!);
        Assert.Equal(2 * (Math.Log(4) - 0.75), (double)chosen["kl_bound"]!, 1e-9);
        Assert.Null(chosen["kl_guidance"]);
        await Refused(folder, best.Replace("--out b", "--out no"), "--guide");

        // Soft values hold for the η that they were learned for, and for their own way of decoding.
        string soft = $"evaluate --graph 2,2 --seed 3 --quiet --json --test-graphs 200 --model s/reference --guide soft/guide";
        await Run(folder, $"train {one} --method qsharp-td --eta 0.3 --head q --data s/rollouts --out soft");
        JsonObject result = await Run(folder, $"{soft} --methods qsharp-td --eta 0.3 --out e2");
        Assert.Equal(["reference", "qsharp-td"], result["results"]!.AsArray().Select(each => (string)each!["method"]!));
        await Refused(folder, $"{soft} --methods qsharp-td --eta 0.1 --out no", "--eta 0.3");
        await Refused(folder, $"{soft} --methods qsharp,cd --eta 0.3 --out no", "qsharp-td");
        await Refused(folder, $"{soft.Replace("soft/guide", "s/guide")} --methods qsharp-td --eta 0.3 --out no", "soft values");
        await Refused(folder, $"train {one} --method qsharp-td --data s/rollouts --out no", "--head q");
        await Refused(folder, $"train {one} --method cd --eta 0.3 --data s/rollouts --out no", "--eta");
        Assert.False(Directory.Exists(folder["no"]));
    }

    private static async Task<JsonObject> Run(TemporaryFolder folder, string line) => (await CliRun.Run(folder.Path, line.Split(' '))).Json();

    private static async Task Refused(TemporaryFolder folder, string line, string part) => (await CliRun.Run(folder.Path, line.Split(' '))).Refused(part);
}
