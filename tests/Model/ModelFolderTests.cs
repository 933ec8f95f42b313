using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Models on disk: what is saved comes back bit for bit, and what does not fit is one sentence to the user.</summary>
public sealed class ModelFolderTests : IDisposable
{

    private static readonly StarGraphTask Task = new(new StarGraphSettings(2, 3, 10));


    private readonly CpuDevice _device = new(1);
    private readonly Ops _ops;
    private readonly string _root = Directory.CreateTempSubdirectory("qsharp-models-").FullName;
    private readonly string _folder;

    public ModelFolderTests()
    {
        _ops = Ops.For(_device);
        _folder = Path.Combine(_root, "model");
    }

    [Theory, InlineData("gpt2"), InlineData("gpt2-untied"), InlineData("llama"), InlineData("qwen2"), InlineData("qwen3")]
    public void A_reference_comes_back_bit_for_bit(string family)
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config(family, Task.Vocabulary), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Assert.True(ModelFolder.Exists(_folder));
        using LanguageModel loaded = ModelFolder.LoadLanguageModel(_ops, _folder, Task);
        Assert.Equal(model.Config, loaded.Config);
        AssertSameBits(model, loaded);
        Assert.Equal(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(loaded));
    }

    [Theory, InlineData(HeadKind.V, FamilyKind.Bernoulli, true), InlineData(HeadKind.Q, FamilyKind.Categorical, false)]
    public void A_guide_comes_back_bit_for_bit(HeadKind kind, FamilyKind family, bool isBidirectional)
    {
        using ValueModel model = NewGuide(kind, family, isBidirectional);
        using LanguageModel reference = NewReference();
        GuideFolder.Save(model, _folder, OriginOf(reference));
        (IGuide guide, GuideOrigin origin) = GuideFolder.Load(reference, _folder, Task.Fingerprint, Task.Vocabulary);
        using ValueModel loaded = Assert.IsType<ValueModel>(guide);
        Assert.Equal(OriginOf(reference), origin);
        Assert.Equal(model.Config, loaded.Config);
        Assert.Equal(model.Settings, loaded.Settings);
        AssertSameBits(model, loaded);
    }

    [Fact]
    public void The_fingerprint_changes_with_any_weight_and_with_the_config()
    {
        TransformerConfig config = TestModels.Config("gpt2", Task.Vocabulary);
        using LanguageModel model = TestModels.Language(_ops, config, 1);
        using LanguageModel other = TestModels.Language(_ops, config with { NormEpsilon = 1e-6f }, 1);
        string first = ModelFolder.Fingerprint(model);
        Assert.Matches("^[0-9a-f]{64}$", first);
        Assert.NotEqual(first, ModelFolder.Fingerprint(other));
        foreach ((_, Tensor value, _) in model.Weights.Named)
        {
            ref float last = ref value.Span<float>()[^1];
            float saved = last;
            last = last == 0 ? 1 : last * 1.01f;   // what BF16 cannot tell apart is the same model
            Assert.NotEqual(first, ModelFolder.Fingerprint(model));
            value.Span<float>()[^1] = saved;
        }
        Assert.Equal(first, ModelFolder.Fingerprint(model));
    }

    [Fact]
    public void Models_of_another_task_kind_or_reference_are_refused()
    {
        using LanguageModel model = NewReference();
        using ValueModel guide = NewGuide(HeadKind.V, FamilyKind.Bernoulli, false);
        string guideFolder = Path.Combine(_root, "guide");
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        GuideFolder.Save(guide, guideFolder, OriginOf(model));
        StarGraphTask otherTask = new(new StarGraphSettings(2, 4, 10));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, otherTask), "star-graph(2,4)");
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, guideFolder, Task), "guide");
        AssertRefused(() => GuideFolder.Load(model, _folder, Task.Fingerprint, Task.Vocabulary).Guide, "value head");
        using LanguageModel another = TestModels.Language(_ops, TestModels.Config("gpt2", Task.Vocabulary), 2);
        AssertRefused(() => GuideFolder.Load(another, guideFolder, Task.Fingerprint, Task.Vocabulary).Guide, "another reference");
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, Path.Combine(_root, "nowhere"), Task), "no such folder");
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _root, Task), "config.json");
    }

    [Fact]
    public void Missing_extra_and_misshapen_tensors_are_refused_by_name()
    {
        using LanguageModel model = NewReference();
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        const string Name = "transformer.h.1.attn.c_proj.weight";
        SafeTensorsSource[] tensors = [.. ModelTensors.Export(model)];
        Write(tensors.Where(tensor => tensor.Name != Name));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), Name);
        Write(tensors.Append(SafeTensorsSource.FromFloats("transformer.h.7.ln_1.weight", [32], new float[32])));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), "transformer.h.7.ln_1.weight");
        Write(tensors.Where(tensor => tensor.Name != Name).Append(SafeTensorsSource.FromFloats(Name, [32, 16], new float[512])));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), Name);
        Write(tensors);
        ModelFolder.LoadLanguageModel(_ops, _folder, Task).Dispose();
    }

    /// <summary>Found while loading, whether a tensor is stored as it is, transposed, or widened.</summary>
    [Theory, InlineData("transformer.wte.weight", float.NaN), InlineData("transformer.h.1.mlp.c_fc.weight", float.PositiveInfinity), InlineData("transformer.ln_f.bias", float.NegativeInfinity)]
    public void A_weight_that_is_no_number_is_refused_by_its_tensor(string name, float value)
    {
        using LanguageModel model = NewReference();
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Write(ModelTensors.Export(model).Select(tensor => tensor.Name == name ? SafeTensorsSource.FromFloats(name, tensor.Shape, (float[])[.. new float[Count(tensor) - 1], value]) : tensor));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), $"'{name}'");
        using ModelFiles files = ModelFiles.Open(_folder);
        AssertRefused(() => files.LoadLanguageModel(_ops, WeightFormat.BF16), $"'{name}'");

        static int Count(SafeTensorsSource tensor) => (int)tensor.Shape.Aggregate(1L, (product, size) => product * size);
    }

    [Fact]
    public void The_head_of_a_guide_on_its_references_trunk_must_be_finite_too()
    {
        using LanguageModel reference = NewReference();
        using SharedTrunkGuide guide = new(reference, ReturnFamily.Bernoulli, 8, 0);
        guide.Weights.Named[0].Value.Span<float>()[0] = float.NaN;
        GuideFolder.Save(guide, _folder, OriginOf(reference));
        AssertRefused(() => GuideFolder.Load(reference, _folder, Task.Fingerprint, Task.Vocabulary).Guide, $"'{guide.Weights.Named[0].Name}'");
    }

    /// <summary>Before any memory is asked for: a mistyped size must not take all there is.</summary>
    [Theory, InlineData("n_layer", 4000), InlineData("n_embd", 400_000)]
    public void A_config_that_does_not_fit_its_tensors_is_refused_before_memory_is_taken(string key, int value)
    {
        using LanguageModel model = NewReference();
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config => config[key] = value);
        using ModelFiles files = ModelFiles.Open(_folder);
        AssertRefused(() => files.Load<LanguageModel>(_device, WeightFormat.F32, null, _ => throw new InvalidOperationException("Memory was asked for.")), "calls for");
    }

    /// <summary>Values of the wrong kind in config.json, and kinds of GPT-2 that would be computed wrongly.</summary>
    [Theory]
    [InlineData("n_layer", "two"), InlineData("n_embd", -1), InlineData("n_head", 5), InlineData("vocab_size", 1.5)]
    [InlineData("n_inner", "x"), InlineData("model_type", "mamba"), InlineData("model_type", 3)]
    [InlineData("activation_function", "relu"), InlineData("activation_function", 1)]
    [InlineData("tie_word_embeddings", "yes"), InlineData("layer_norm_epsilon", "small"), InlineData("n_positions", 0)]
    [InlineData("layer_norm_epsilon", 0)]
    [InlineData("scale_attn_weights", false), InlineData("scale_attn_by_inverse_layer_idx", true)]
    public void A_config_that_cannot_be_is_refused_by_its_key(string key, object value)
    {
        using LanguageModel model = NewReference();
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config => config[key] = JsonValue.Create(value));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), key switch { "n_positions" => "context", "layer_norm_epsilon" when value is int => "epsilon", _ => key });
    }

    [Theory, InlineData("{"), InlineData("[]"), InlineData("{\"model_type\":\"\\ud800\"}"), InlineData("{\"n_layer\":1,\"n_layer\":2}")]
    public void A_damaged_config_is_one_sentence(string text)
    {
        using LanguageModel model = NewReference();
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        File.WriteAllText(Path.Combine(_folder, "config.json"), text);
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), "config.json");
    }

    /// <summary>Features of Llama's kind of models that would be computed wrongly.</summary>
    [Theory]
    [InlineData("hidden_act", "gelu"), InlineData("attention_bias", true), InlineData("mlp_bias", true), InlineData("partial_rotary_factor", 0.5)]
    [InlineData("rope_scaling", """{"type":"linear","factor":2}"""), InlineData("rope_scaling", """{"rope_type":"yarn","factor":4}""")]
    [InlineData("rope_parameters", """{"rope_type":"dynamic","rope_theta":10000}"""), InlineData("rope_scaling", """{"rope_type":"llama3","factor":0}""")]
    [InlineData("layer_types", """["full_attention","sliding_attention"]"""), InlineData("quantization_config", """{"bits":4}""")]
    [InlineData("head_dim", 7), InlineData("num_key_value_heads", 3), InlineData("rope_theta", -1), InlineData("model_type", "mixtral")]
    [InlineData("hidden_size", "wide"), InlineData("rms_norm_eps", "small"), InlineData("rope_interleaved", true)]
    [InlineData("rms_norm_eps", 0), InlineData("rms_norm_eps", -1), InlineData("num_hidden_layers", 2_000_000_000)]
    public void A_config_of_Llamas_kind_that_cannot_be_is_refused_by_its_key(string key, object value)
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config("llama", Task.Vocabulary), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config => config[key] = value is string text && text[0] is '{' or '[' ? JsonNode.Parse((string)value) : JsonValue.Create(value));
        string named = key switch { "head_dim" => "head size", "num_key_value_heads" => "key-value heads", "layer_types" => "sliding window", "num_hidden_layers" => "layers is 2000000000", "rms_norm_eps" when value is int => "epsilon", _ => key };
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), named);
    }

    /// <summary>No model of this type has them in its MLP, and it could not be written again.</summary>
    [Fact]
    public void Biases_of_a_Qwen3_model_are_refused()
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config("qwen3", Task.Vocabulary), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config => (config["attention_bias"], config["mlp_bias"]) = (true, true));
        using LanguageModel biased = TestModels.Language(_ops, model.Config with { QkvBias = true, OtherBias = true }, 1);
        Write(ModelTensors.Export(biased));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), "attention_bias");
    }

    /// <summary>θ counts wherever it stands: inside of the scaling first, then at the top.</summary>
    [Theory]
    [InlineData("{}", 10000), InlineData("""{"rope_theta":1e6}""", 1e6), InlineData("""{"rope_parameters":{"rope_type":"default"},"rope_theta":1e6}""", 1e6)]
    [InlineData("""{"rope_scaling":{"rope_type":"default","rope_theta":1e6}}""", 1e6), InlineData("""{"rope_parameters":{"rope_theta":1e6},"rope_theta":5}""", 1e6)]
    [InlineData("""{"rope_parameters":{"rope_type":"default","partial_rotary_factor":1}}""", 10000)]
    public void The_base_of_rotary_positions_is_taken_from_wherever_it_stands(string keys, double theta)
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config("llama", Task.Vocabulary) with { RopeTheta = 77 }, 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config =>
        {
            config.Remove("rope_theta");
            config.Remove("rope_scaling");
            foreach ((string key, JsonNode? value) in JsonNode.Parse(keys)!.AsObject()) config[key] = value?.DeepClone();
        });
        using LanguageModel loaded = ModelFolder.LoadLanguageModel(_ops, _folder, Task);
        Assert.Equal((float)theta, loaded.Config.RopeTheta);
    }

    [Theory]
    [InlineData("""{"full_attention":{"rope_theta":1e6},"sliding_attention":{"rope_theta":1e4}}""", "rope_parameters.full_attention")]
    [InlineData("""{"rope_type":"default","partial_rotary_factor":0.5}""", "rope_parameters: partial_rotary_factor is 0.5")]
    public void Rotary_positions_of_some_layers_or_a_part_of_each_head_are_refused(string parameters, string named)
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config("llama", Task.Vocabulary), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config => config["rope_parameters"] = JsonNode.Parse(parameters));
        AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), named);
    }

    [Theory]
    [InlineData("mistral", 16, null, true), InlineData("mistral", 32, null, false), InlineData("mistral", null, null, false)]
    [InlineData("qwen2", 16, true, true), InlineData("qwen2", 16, false, false), InlineData("llama", 16, null, false)]
    public void A_sliding_window_is_refused_only_where_it_is_in_use(string type, int? window, bool? used, bool isRefused)
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config(type == "qwen2" ? "qwen2" : "llama", Task.Vocabulary, context: 32), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        Edit(config =>
        {
            config["model_type"] = type;
            config["sliding_window"] = window;
            config["max_window_layers"] = 1;
            if (used is not null) config["use_sliding_window"] = used;
        });
        if (isRefused) AssertRefused(() => ModelFolder.LoadLanguageModel(_ops, _folder, Task), "sliding window");
        else ModelFolder.LoadLanguageModel(_ops, _folder, Task).Dispose();
    }

    [Fact]
    public void Matrices_held_as_BF16_are_the_rounded_ones()
    {
        using LanguageModel model = TestModels.Language(_ops, TestModels.Config("qwen3", Task.Vocabulary), 1);
        ModelFolder.Save(model, _folder, Task.Fingerprint);
        using ModelFiles files = ModelFiles.Open(_folder);
        using LanguageModel rounded = files.LoadLanguageModel(_ops, WeightFormat.BF16);
        foreach (((string name, Tensor exact, _), (_, Tensor half, bool isMatrix)) in model.Weights.Named.Zip(rounded.Weights.Named))
        {
            Assert.Equal(isMatrix ? DType.BF16 : DType.F32, half.DType);
            float[] expected = [.. TensorValues.Read(exact).Select(value => BFloat16.Widen(BFloat16.Round(value)))];
            Assert.True(expected.AsSpan().SequenceEqual(TensorValues.Read(half)), name);
        }
        Assert.Equal(ModelFolder.Fingerprint(model), ModelFolder.Fingerprint(rounded));
    }

    [Theory]
    [InlineData("head", "z"), InlineData("head", 1), InlineData("family", "poisson"), InlineData("atoms", 0)]
    [InlineData("atoms", 1.5)]
    [InlineData("min", 2), InlineData("max", "one"), InlineData("bidirectional_prompt", "no")]
    public void A_guide_whose_settings_cannot_be_is_refused_by_their_key(string key, object value)
    {
        using ValueModel guide = NewGuide(HeadKind.V, FamilyKind.Categorical, false);
        using LanguageModel reference = NewReference();
        GuideFolder.Save(guide, _folder, OriginOf(reference));
        Edit(config => config["qsharp"]![key] = JsonValue.Create(value));
        AssertRefused(() => GuideFolder.Load(reference, _folder, Task.Fingerprint, Task.Vocabulary).Guide, key);
    }

    public void Dispose()
    {
        _device.Dispose();
        Directory.Delete(_root, recursive: true);
    }

    private static GuideOrigin OriginOf(LanguageModel reference) => new(Task.Fingerprint, ModelFolder.Fingerprint(reference), 0.7f, 0.9f);

    private LanguageModel NewReference() => TestModels.Language(_ops, TestModels.Config("gpt2", Task.Vocabulary), 1);

    private ValueModel NewGuide(HeadKind kind, FamilyKind family, bool isBidirectional)
    {
        ReturnFamily returns = family == FamilyKind.Bernoulli ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(-1, 1, 5);
        ValueSettings settings = new(kind, returns, isBidirectional);
        return TestModels.Value(_ops, TestModels.Config("gpt2", Task.Vocabulary), settings, 2);
    }

    private void Write(IEnumerable<SafeTensorsSource> tensors) =>
        SafeTensorsWriter.Write(Path.Combine(_folder, SafeTensorsFolder.SingleName), tensors);

    private void Edit(Action<JsonObject> change)
    {
        string path = Path.Combine(_folder, "config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        change(config);
        File.WriteAllText(path, config.ToJsonString());
    }

    private static void AssertRefused(Func<IDisposable> load, string part)
    {
        UserException refused = Assert.Throws<UserException>(() => load().Dispose());
        Assert.Contains(part, refused.Message);
        Assert.Matches("^[^\n]*[.?]$", refused.Message);
        Assert.DoesNotContain(". ", refused.Message);
    }

    private static void AssertSameBits(HeadedModel a, HeadedModel b)
    {
        Assert.Equal(a.Weights.Named.Select(parameter => parameter.Name), b.Weights.Named.Select(parameter => parameter.Name));
        Assert.True(MemoryMarshal.AsBytes(a.Weights.All.Span<float>()).SequenceEqual(MemoryMarshal.AsBytes(b.Weights.All.Span<float>())));
    }
}
