using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Models of every family against figures that the transformers library gave in float64 for the same weights. They lie in
/// a folder beside the repository; without it these tests are skipped.
/// </summary>
public sealed class GoldenModelTests : IDisposable
{
    private readonly CpuDevice _device = new(2);

    public static TheoryData<string> Names() =>
    [
        "random-gpt2",
        "random-gpt2-hub",      // as the first GPT-2 files are: no prefix, masks among the weights, F16
        "random-llama3",        // three shards, scaled rotary positions, untied
        "random-qwen2",
        "random-qwen3",
        "random-mistral",
        "story",                // the tied table under the head's name alone
        "stories260k",
        "random-gguf",
        "smollm2-135m-instruct",
    ];

    [Theory, MemberData(nameof(Names))]
    public void Log_probabilities_and_greedy_texts_are_those_of_the_reference_library(string name)
    {
        using ModelFiles files = ModelFiles.Open(Model(name));
        using LanguageModel model = files.LoadLanguageModel(Ops.For(_device));
        JsonArray cases = JsonNode.Parse(File.ReadAllText(Path.Combine(Folder(name), "golden.json")))!.AsArray();
        Assert.NotEmpty(cases);
        using Scorer scorer = new(model, top: 10);
        foreach (JsonNode? golden in cases)
        {
            int[] ids = Ints(golden!["ids"]!);
            Assert.Equal(ids, files.Tokenizer.Encode((string)golden["text"]!));
            Score score = scorer.Score(ids);
            Dictionary<int, double> last = score.LastTop.ToDictionary(entry => entry.Id, entry => (double)entry.LogProb);
            foreach (JsonNode? entry in golden["last_top10"]!.AsArray()) Assert.Equal((double)entry![1]!, last[(int)entry[0]!], 1e-4);
            Assert.Equal((double)golden["sequence_logprob"]!, score.Total, 1e-3);
            int[] greedy = Greedy(model, ids, golden["greedy"]!.AsArray().Count);
            Assert.Equal(Ints(golden["greedy"]!), greedy);
            Assert.Equal((string)golden["greedy_text"]!, files.Tokenizer.Decode(greedy).TrimEnd(' '));   // one golden was stripped
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Loss_and_gradients_are_those_of_the_reference_library(string name)
    {
        string path = Path.Combine(Folder(name), "golden-grad.json");
        if (!File.Exists(path)) return;   // three of the models have none
        using ModelFiles files = ModelFiles.Open(Model(name));
        using LanguageModel model = files.LoadLanguageModel(Ops.For(_device), WeightFormat.F32);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(path))!;
        using Trainer trainer = NewTrainer(model, golden, new OptimizerSettings(new LearningRate(0, 0, 1)));
        trainer.FillBatch();
        Assert.Equal((double)golden["loss"]!, trainer.RunStep(), 1e-4);
        double norm = Math.Sqrt(trainer.Optimizer.Gradients.All.Span<float>().ToArray().Sum(g => (double)g * g));
        Assert.Equal(1, norm / (double)golden["global_norm"]!, 1e-4);

        // The gradients leave through the door by which weights do, so that names and transposition are those of the file.
        trainer.Optimizer.Gradients.All.Span<float>().CopyTo(model.Weights.All.Span<float>());
        Dictionary<string, SafeTensorsSource> written = ModelTensors.Export(model).ToDictionary(tensor => tensor.Name);
        JsonObject tensors = golden["gradients"]!.AsObject();
        Assert.Equal(tensors.Select(tensor => tensor.Key).Order(StringComparer.Ordinal), written.Keys.Order(StringComparer.Ordinal));
        foreach ((string tensor, JsonNode? expected) in tensors)
        {
            using MemoryStream bytes = new();
            written[tensor].Write(bytes);
            ReadOnlySpan<float> values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes.ToArray());
            Assert.Equal(Ints(expected!["shape"]!).Select(size => (long)size), written[tensor].Shape);
            double l2 = (double)expected["l2"]!;
            foreach (JsonNode? sample in expected["samples"]!.AsArray())
                Assert.True(Math.Abs((double)sample![1]! - values[(int)sample[0]!]) < 1e-4 * l2 + 1e-7, $"{tensor}[{sample[0]}]");
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Ten_optimizer_steps_are_those_of_the_reference_library(string name)
    {
        string path = Path.Combine(Folder(name), "golden-train.json");
        if (!File.Exists(path)) return;   // five of the models have it
        using ModelFiles files = ModelFiles.Open(Model(name));
        using LanguageModel model = files.LoadLanguageModel(Ops.For(_device), WeightFormat.F32);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(path))!;
        OptimizerSettings settings = new(new LearningRate(1e-3f, 0, 10), Beta2: 0.95f, WeightDecay: 0.1f);
        using Trainer trainer = NewTrainer(model, golden, settings);
        double[] losses = [.. golden["losses"]!.AsArray().Select(loss => (double)loss!), (double)golden["final_loss"]!];
        foreach (double loss in losses)
        {
            trainer.FillBatch();
            Assert.Equal(1, trainer.RunStep() / loss, 1e-3);
        }
    }

    public void Dispose() => _device.Dispose();

    private static string Folder(string name)
    {
        string folder = Path.Combine(Repository.Root, "..", "shared", "models", name);
        if (!Directory.Exists(folder)) Assert.Skip($"{name} is not in ../shared/models.");
        return folder;
    }

    /// <summary>The folder, or the GGUF file in it.</summary>
    private static string Model(string name) => Directory.GetFiles(Folder(name), "*.gguf").FirstOrDefault() ?? Folder(name);

    private static Trainer NewTrainer(LanguageModel model, JsonNode golden, OptimizerSettings settings)
    {
        int[][] rows = [.. golden["ids"]!.AsArray().Select(row => Ints(row!))];
        return new Trainer(model, new PretrainMethod(), new FixedRows(rows, [.. rows.Select(_ => 1)], new float[rows.Length], null), settings, rows.Length);
    }

    private static int[] Greedy(LanguageModel model, int[] prompt, int count)
    {
        using Guidance guidance = new FusedGuidance(model.Ops);
        using Sampler sampler = new(model, null, guidance, new SamplerShape(1, prompt.Length, count), []);
        SampleBatch batch = new(1, prompt.Length, count);
        batch.Add(prompt, count, 0);
        SamplerRig.Draw(sampler, batch, GuidanceRule.Reference(temperature: 0));
        return batch.Response(0).ToArray();
    }

    private static int[] Ints(JsonNode array) => [.. array.AsArray().Select(item => (int)item!)];
}
