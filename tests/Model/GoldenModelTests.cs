using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// A GPT-2 model against figures that the transformers library gave in float64 for the same weights. The models lie in
/// a folder beside the repository; without it these tests are skipped.
/// </summary>
public sealed class GoldenModelTests : IDisposable
{
    private readonly CpuDevice _device = new(1);

    /// <summary>As the transformers library writes it, and as the first GPT-2 files are: no prefix, masks among the weights, F16.</summary>
    [Theory, InlineData("random-gpt2"), InlineData("random-gpt2-hub")]
    public void Log_probabilities_and_greedy_texts_are_those_of_the_reference_library(string name)
    {
        string folder = Folder(name);
        using LanguageModel model = Load(folder);
        JsonArray cases = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")))!.AsArray();
        Assert.NotEmpty(cases);
        foreach (JsonNode? golden in cases)
        {
            int[] ids = Ints(golden!["ids"]!);
            double[] last = LogProbabilities(model, ids, ids.Length - 1);
            foreach (JsonNode? entry in golden["last_top10"]!.AsArray()) Assert.Equal((double)entry![1]!, last[(int)entry[0]!], 1e-4);
            double sum = 0;
            for (int t = 1; t < ids.Length; t++) sum += LogProbabilities(model, ids, t - 1)[ids[t]];
            Assert.Equal((double)golden["sequence_logprob"]!, sum, 1e-3);
            Assert.Equal(Ints(golden["greedy"]!), Greedy(model, ids, golden["greedy"]!.AsArray().Count));
        }
    }

    [Fact]
    public void Loss_and_gradients_are_those_of_the_reference_library()
    {
        string folder = Folder("random-gpt2");
        using LanguageModel model = Load(folder);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden-grad.json")))!;
        int[][] rows = [.. golden["ids"]!.AsArray().Select(row => Ints(row!))];
        FixedRows source = new(rows, [.. rows.Select(_ => 1)], new float[rows.Length], null);
        using Trainer trainer = new(model, new PretrainMethod(), source, new OptimizerSettings(new LearningRate(0, 0, 1)), rows.Length);
        trainer.FillBatch();
        Assert.Equal((double)golden["loss"]!, trainer.RunStep(), 1e-4);
        double norm = Math.Sqrt(trainer.Optimizer.Gradients.All.Span<float>().ToArray().Sum(g => (double)g * g));
        Assert.Equal((double)golden["global_norm"]!, norm, 1e-3);

        // The gradients leave through the door by which weights do, so that names and transposition are those of the file.
        float[] gradients = trainer.Optimizer.Gradients.All.Span<float>().ToArray();
        gradients.CopyTo(model.Weights.All.Span<float>());
        Dictionary<string, SafeTensorsSource> written = Gpt2Names.Export(model).ToDictionary(tensor => tensor.Name);
        JsonObject tensors = golden["gradients"]!.AsObject();
        Assert.Equal(tensors.Select(tensor => tensor.Key).Order(StringComparer.Ordinal), written.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, JsonNode? expected) in tensors)
        {
            using MemoryStream bytes = new();
            written[name].Write(bytes);
            ReadOnlySpan<float> values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes.ToArray());
            Assert.Equal(Ints(expected!["shape"]!).Select(size => (long)size), written[name].Shape);
            double l2 = (double)expected["l2"]!;
            foreach (JsonNode? sample in expected["samples"]!.AsArray())
                Assert.True(Math.Abs((double)sample![1]! - values[(int)sample[0]!]) < 1e-4 * l2 + 1e-7, $"{name}[{sample[0]}]");
        }
    }

    public void Dispose() => _device.Dispose();

    private static string Folder(string name)
    {
        string folder = Path.Combine(Repository.Root, "..", "shared", "models", name);
        if (!Directory.Exists(folder)) Assert.Skip($"{name} is not in ../shared/models.");
        return folder;
    }

    private LanguageModel Load(string folder)
    {
        string path = Path.Combine(folder, "config.json");
        TransformerConfig config = Gpt2Names.Config(JsonNode.Parse(File.ReadAllText(path))!.AsObject(), path);
        LanguageModel model = new(Ops.For(_device), config);
        using SafeTensorsFolder tensors = SafeTensorsFolder.Open(folder);
        Gpt2Names.Import(tensors, model);
        return model;
    }

    private static double[] LogProbabilities(LanguageModel model, int[] ids, int at) =>
        SamplingOracle.LogSoftmax(TestModels.Outputs(model, ids[..(at + 1)], 0, at, 0), 1);

    private static int[] Greedy(LanguageModel model, int[] prompt, int count)
    {
        using Guidance guidance = new FusedGuidance(model.Ops);
        using Sampler sampler = new(model, null, guidance, 1, prompt.Length, count, 1, []);
        SampleBatch batch = new(1, prompt.Length, count);
        batch.Add(prompt, count, 0);
        SamplerRig.Draw(sampler, batch, GuidanceRule.Reference(temperature: 0));
        return batch.Response(0).ToArray();
    }

    private static int[] Ints(JsonNode array) => [.. array.AsArray().Select(item => (int)item!)];
}
