using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>What a user of the command line sees when the card is absent, too small, or lost; the card is the stand-in.</summary>
[Collection(CudaCollection.Name)]
public sealed class CudaRunTests
{
    private const int Steps = 4;

    public CudaRunTests(CudaFixture cuda) => cuda.Open().Dispose();   // skips where there is no stand-in

    [Fact]
    public async Task Out_of_memory_ends_with_2_and_one_sentence()
    {
        using TemporaryFolder folder = new();
        CliResult result = await Pretrain(folder, "cuMemAlloc_v2:3:2");
        AssertEnds(result, 2, "MiB free", "MiB more are needed");
    }

    [Fact]
    public async Task No_card_ends_with_2_and_one_sentence()
    {
        using TemporaryFolder folder = new();
        CliResult result = await Pretrain(folder, "cuInit:1:100");
        AssertEnds(result, 2, "there is no CUDA card", "--device cpu", "qsharp devices");
    }

    [Fact]
    public async Task No_driver_ends_with_2_and_what_was_tried()
    {
        using TemporaryFolder folder = new();
        string nowhere = folder["libcuda.so.1"];
        using CliRun run = CliRun.Start(folder.Path, new() { ["QSHARP_CUDA_LIBRARY"] = nowhere }, Arguments());
        AssertEnds(await run.End(), 2, "The library cuda was not found", nowhere, "QSHARP_CUDA_LIBRARY", "--device cpu");
    }

    [Fact]
    public async Task A_planted_failure_of_another_form_is_told_the_right_one()
    {
        using TemporaryFolder folder = new();
        AssertEnds(await Pretrain(folder, "cuInit"), 2, "QSHARP_STANDIN_FAIL", "cuMemAlloc_v2:3:2");
    }

    [Fact]
    public async Task A_card_lost_in_training_ends_with_1_and_resume_finishes_the_run()
    {
        using TemporaryFolder folder = new();
        CliResult lost = await Pretrain(folder, "cuGraphLaunch:2:719");
        AssertEnds(lost, 1, "cuGraphLaunch", "CUDA_ERROR_LAUNCH_FAILED", "the device is lost to this process", "had no checkpoint yet", "--resume");
        Assert.False(File.Exists(folder["run", "model", "model.safetensors"]));
        CliResult resumed = await Pretrain(folder, "", "--resume");
        resumed.Done();
        Assert.True(File.Exists(folder["run", "model", "model.safetensors"]));
        Assert.Equal(Enumerable.Range(1, Steps), File.ReadLines(folder["run", "metrics.jsonl"]).Select(line => (int)JsonNode.Parse(line)!["step"]!));
    }

    [Fact]
    public async Task The_rounding_is_kept_in_the_run_and_refused_where_nothing_is_rounded()
    {
        using TemporaryFolder folder = new();
        CliResult refused = await CliRun.Run(folder.Path, [.. Arguments("cpu"), "--rounding", "stochastic"]);
        AssertEnds(refused, 2, "--rounding stochastic", "cpu", "--device cuda");
        AssertEnds(await Pretrain(folder, "cuGraphLaunch:2:719", "--rounding", "stochastic"), 1, "--resume");
        Assert.Equal("stochastic", (string)JsonNode.Parse(File.ReadAllText(folder["run", "config.json"]))!["rounding"]!);
        AssertEnds(await Pretrain(folder, "", "--resume"), 2, "rounding", "stochastic", "nearest");
        CliResult resumed = await Pretrain(folder, "", "--resume", "--rounding", "stochastic");
        resumed.Done();
    }

    private static async Task<CliResult> Pretrain(TemporaryFolder folder, string planted, params string[] more)
    {
        Dictionary<string, string> environment = new()
        {
            ["QSHARP_STANDIN"] = "1",
            ["QSHARP_STANDIN_FAIL"] = planted,
            ["QSHARP_KERNELS"] = Path.Combine(Repository.Root, "kernels-cu"),
            ["QSHARP_CACHE"] = KernelCompiler.CacheFolder,
        };
        using CliRun run = CliRun.Start(folder.Path, environment, [.. Arguments(), .. more]);
        return await run.End();
    }

    private static string[] Arguments(string device = "cuda") =>
        $"pretrain --graph 2,2 --reference-steps {Steps} --seed 3 --device {device} --quiet --out run".Split(' ');

    private static void AssertEnds(CliResult result, int code, params string[] names)
    {
        Assert.True(result.ExitCode == code, $"{result.ExitCode}: {result.Error}");
        Assert.Equal("", result.Out);
        Assert.DoesNotContain("   at ", result.Error);
        Sentence.Assert(result.Error.TrimEnd('\n'), names);
    }
}
