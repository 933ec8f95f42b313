using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>What `qsharp speed` counts is worked out by hand here for the smallest shape; what it measures must be there and positive.</summary>
[Collection(CudaCollection.Name)]
public sealed class SpeedVerbTests(CudaFixture cuda)
{
    // tiny: 2 layers of qkv 128×64, out 64×64, up 256×64 and down 64×128, a head of 512×64; five norms of 64.
    private const int LayerMatrices = 2 * (128 * 64 + 64 * 64 + 256 * 64 + 64 * 128), Head = 512 * 64, Norms = 5 * 64;
    private const int Rows = 3, Context = 40, KvElements = 2 * 2 * 2 * 16;   // keys and values, layers, key-value heads, their size

    private static readonly string[] Sizes = ["--shape", "tiny", "--rows", "3", "--steps", "3", "--json"];

    [Theory, InlineData("cpu", 4), InlineData("cuda", 2)]
    public async Task Decoding_reads_the_weights_once_and_each_row_its_cache(string device, int bytes)
    {
        JsonObject result = await Measure(device, "decode");
        double expected = (LayerMatrices + Head) * bytes + Norms * 4 + Rows * Context * KvElements * bytes;
        Assert.Equal(expected / 1e6, (double)result["megabytes"]!, 9);
        double milliseconds = (double)result["milliseconds"]!;
        Assert.Equal(1e3 * Rows / milliseconds, (double)result["tokens_per_second"]!, 1e-6);
        Assert.Equal(expected / milliseconds / 1e6, (double)result["gigabytes_per_second"]!, 1e-9);
        AssertPositive(result, "rows", "context", "milliseconds", "tokens_per_second", "megabytes", "gigabytes_per_second", "bandwidth_share");
    }

    [Theory, InlineData("cpu", 4), InlineData("cuda", 2)]
    public async Task Guidance_adds_the_guide_without_a_head_of_the_vocabulary(string device, int bytes)
    {
        JsonObject result = await Measure(device, "guided", "--guide-shape", "tiny", "--candidates", "4");
        double cache = Rows * Context * KvElements * bytes;
        double reference = (LayerMatrices + Head) * bytes + Norms * 4 + cache, guide = (LayerMatrices + 64) * bytes + (Norms + 1) * 4 + cache;
        Assert.Equal(1 + guide / reference, (double)result["bytes_ratio"]!, 9);
        Assert.Equal((double)result["guided_milliseconds"]! / (double)result["unguided_milliseconds"]!, (double)result["ratio"]!, 9);
        AssertPositive(result, "unguided_milliseconds", "guided_milliseconds", "ratio", "bytes_ratio", "floor_ratio", "naive_milliseconds", "naive_over_fused");
    }

    [Fact]
    public async Task A_shared_trunk_adds_its_head_and_the_embeddings_of_the_candidates()
    {
        const int Width = 64, Hidden = 512, Candidates = 4;
        JsonObject result = await Measure("cpu", "guided", "--guide-shape", "shared", "--candidates", $"{Candidates}");
        double reference = (LayerMatrices + Head) * 4 + Norms * 4 + Rows * Context * KvElements * 4;
        double head = 2 * Width * Hidden + 2 * Hidden + 2 * Width + 1;
        Assert.Equal(1 + (head + Rows * Candidates * Width) * 4 / reference, (double)result["bytes_ratio"]!, 9);
        AssertPositive(result, "unguided_milliseconds", "guided_milliseconds", "ratio", "floor_ratio", "naive_milliseconds");
    }

    [Theory, InlineData("cpu"), InlineData("cuda")]
    public async Task The_head_is_timed_alone_with_a_draw_and_with_the_tilt(string device)
    {
        JsonObject result = await Measure(device, "head", "--candidates", "4");
        Assert.Equal((double)result["drawn_microseconds"]! / (double)result["product_microseconds"]!, (double)result["drawn_ratio"]!, 9);
        Assert.Equal((double)result["tilted_microseconds"]! / (double)result["product_microseconds"]!, (double)result["tilted_ratio"]!, 9);
        AssertPositive(result, "rows", "product_microseconds", "drawn_microseconds", "tilted_microseconds");
    }

    [Theory, InlineData("cpu", "train"), InlineData("cuda", "train"), InlineData("cpu", "train-value"), InlineData("cuda", "train-value")]
    public async Task Training_counts_6_P_and_12_L_d_T(string device, string what)
    {
        JsonObject result = await Measure(device, what);
        int parameters = LayerMatrices + Norms + (what == "train" ? Head : 64 + 1);
        double flops = 6.0 * parameters + 12 * 2 * 64 * Context;
        Assert.Equal(flops / 1e9, (double)result["gigaflops_per_token"]!, 12);
        Assert.Equal(flops * (double)result["tokens_per_second"]! / 1e12, (double)result["teraflops_per_second"]!, 12);
        Assert.InRange((double)result["product_share"]!, 0.001, 0.999);
        AssertPositive(result, "milliseconds", "tokens_per_second", "teraflops_per_second", "mfu");
    }

    [Fact]
    public async Task Launches_are_those_of_the_step_and_grow_with_the_layers()
    {
        JsonObject result = await Measure("cuda", "launches");
        int launches = (int)(double)result["launches"]!;
        double perLayer = (double)result["launches_per_layer"]!;
        Assert.InRange(perLayer, 5, 20);
        Assert.Equal(perLayer, Math.Round(perLayer));
        Assert.InRange(launches - 2 * perLayer, 3, 20);   // embedding, last norm, head and the draw
        AssertPositive(result, "launch_microseconds", "launch_share", "host_microseconds", "host_share");
    }

    [Theory]
    [InlineData("launches --device cpu", "--device cuda")]
    [InlineData("decode --candidates 4", "--candidates")]
    [InlineData("decode --context 4", "--steps")]
    [InlineData("head --context 4", "--context")]
    [InlineData("decode --model x --shape tiny", "not both")]
    [InlineData("decode --rows 0", "--rows 0")]
    [InlineData("guided --candidates 4097", "from 1 to 4096")]
    [InlineData("decod", "did you mean decode")]
    [InlineData("train --context 1", "at least 2 tokens")]
    public async Task What_cannot_be_measured_is_one_sentence(string arguments, string named)
    {
        CliResult refused = await CliRun.Run(Path.GetTempPath(), ["speed", .. arguments.Split(' ')]);
        refused.Refused(named);
    }

    private async Task<JsonObject> Measure(string device, string what, params string[] more)
    {
        if (device == "cuda") cuda.Open().Dispose();   // skips where there is no stand-in
        Dictionary<string, string> environment = new()
        {
            ["QSHARP_STANDIN"] = "1",
            ["QSHARP_KERNELS"] = Path.Combine(Repository.Root, "kernels-cu"),
            ["QSHARP_CACHE"] = KernelCompiler.CacheFolder,
        };
        using CliRun run = CliRun.Start(Path.GetTempPath(), environment, ["speed", what, .. Sizes, .. what == "head" ? (string[])[] : ["--context", "40"], "--device", device, .. more]);
        CliResult result = await run.End();
        JsonObject json = result.Json();
        Assert.Equal(what, (string)json["what"]!);
        AssertPositive(json, "peak_bytes_per_second", "peak_flops_per_second");
        return Assert.Single(json["results"]!.AsArray())!.AsObject();
    }

    private static void AssertPositive(JsonObject json, params string[] names) =>
        Assert.All(names, name => Assert.True((double)json[name]! is > 0 and < double.PositiveInfinity, $"{name} is {json[name]}"));
}
