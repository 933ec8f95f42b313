using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Tokenizers from a GGUF file's metadata.</summary>
public sealed class GgufTokenizerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Pieces_are_merged_by_their_scores_and_text_comes_back()
    {
        using GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder);
        Assert.Equal(["a b", "▁ ab"], Merges(model));
        Tokenizer tokenizer = Load(model);
        Assert.Equal([1, 8, 7], tokenizer.Encode("abab"));           // BOS, ▁ab, ab
        Assert.Equal([1, 4, 9, 3, 0], tokenizer.Encode("éAx"));      // A by its byte, x by none
        Assert.Equal("abab", tokenizer.Decode([8, 7]));
    }

    [Fact]
    public void A_space_before_the_text_and_tokens_around_it_are_as_the_file_says()
    {
        using (GgufCheckpoint plain = GgufBuilder.TinyLlama().Set("tokenizer.ggml.add_space_prefix", false).Set("tokenizer.ggml.add_bos_token", false).OpenModel(_folder))
        {
            Assert.Equal([7], Load(plain).Encode("ab"));
            Assert.Null(plain.TokenizerJson["post_processor"]);
        }
        using GgufCheckpoint both = GgufBuilder.TinyLlama().Set("tokenizer.ggml.add_eos_token", true).OpenModel(_folder);
        Assert.Equal([1, 8, 2], Load(both).Encode("ab"));
        Assert.True((bool)both.TokenizerConfig["add_eos_token"]! && (bool)both.TokenizerConfig["add_bos_token"]!);
        Assert.Equal(("<s>", "</s>", "<unk>", null), (Text("bos_token"), Text("eos_token"), Text("unk_token"), Text("pad_token")));

        string? Text(string key) => (string?)both.TokenizerConfig[key];
    }

    [Fact]
    public void Tokens_of_a_user_are_cut_out_and_not_special()
    {
        string[] tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "a b", "ab", "[PAD8]"];
        using GgufCheckpoint model = GgufBuilder.TinyLlama()
            .Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.token_type", (int[])[2, 3, 3, 1, 1, 1, 4, 4, 5]).Set("tokenizer.ggml.scores", new float[9]).OpenModel(_folder);
        Tokenizer tokenizer = Load(model);
        Assert.Equal([1, 6, 3, 4, 7], tokenizer.Encode("a baab"));   // BOS, "a b", ▁, a, "ab"
        Assert.Equal("a b", tokenizer.Decode([1, 6, 2]));
        Assert.Null(tokenizer.Token(8));   // a row of the model that no text becomes
    }

    [Fact]
    public void A_piece_of_a_million_letters_takes_no_time()
    {
        string[] tokens = ["<unk>", "<s>", "</s>", "a", new('a', 1_000_000), new('a', 999_999)];
        using GgufCheckpoint model = GgufBuilder.TinyLlama()
            .Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.token_type", (int[])[2, 3, 3, 1, 1, 1]).Set("tokenizer.ggml.scores", new float[6]).OpenModel(_folder);
        Assert.Empty(Merges(model));
    }

    [Theory]
    [InlineData("llama-bpe", true, """["Split","ByteLevel"]""")]
    [InlineData("qwen2", false, """["Split","ByteLevel"]""")]
    [InlineData("smollm", false, """["Digits","ByteLevel"]""")]
    [InlineData("default", false, """["Split","Split","Split","Split","ByteLevel"]""")]
    public void Byte_pairs_are_cut_as_the_file_says(string pre, bool ignoresMerges, string steps)
    {
        using GgufCheckpoint model = BytePairs().Set("tokenizer.ggml.pre", pre).OpenModel(_folder);
        JsonObject document = model.TokenizerJson;
        Assert.Equal(steps, new JsonArray([.. document["pre_tokenizer"]!["pretokenizers"]!.AsArray().Select(step => step!["type"]!.DeepClone())]).ToJsonString());
        Assert.Equal(ignoresMerges, (bool)document["model"]!["ignore_merges"]!);
        Assert.Equal(pre == "qwen2", document["normalizer"] is not null);
        Assert.Equal(pre == "llama-bpe" ? [1, 5] : [5], Load(model).Encode("ab"));
        Assert.Equal("ab", Load(model).Decode([5]));
    }

    [Fact]
    public void Numbers_are_cut_after_three_digits_by_default()
    {
        using (GgufCheckpoint model = BytePairs().Set("tokenizer.ggml.pre", "default").OpenModel(_folder)) Assert.Equal([9, 8], Load(model).Encode("11111"));
        using GgufCheckpoint whole = BytePairs().Set("tokenizer.ggml.pre", "gpt-2").OpenModel(_folder);
        Assert.Equal([8, 9], Load(whole).Encode("11111"));
    }

    [Fact]
    public void An_older_file_does_not_say_how_and_some_architectures_do()
    {
        using (GgufCheckpoint model = Moved("qwen2").OpenModel(_folder)) Assert.NotNull(model.TokenizerJson["normalizer"]);
        Refused(BytePairs(), "tokenizer.ggml.pre");
    }

    [Fact]
    public void What_is_not_known_is_refused_by_name()
    {
        Refused(BytePairs().Set("tokenizer.ggml.pre", "tekken"), "'tekken'");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.model", "bert"), "'bert'");
        Refused(GgufBuilder.TinyLlama().Without("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens");
        Refused(GgufBuilder.TinyLlama().Without("tokenizer.ggml.scores"), "tokenizer.ggml.scores");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.scores", (float[])[1]), "tokenizer.ggml.scores", "1 entries for 10 tokens");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.token_type", (int[])[1]), "tokenizer.ggml.token_type");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.bos_token_id", 10u), "bos_token_id is 10");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.bos_token_id", "1"), "bos_token_id");
    }

    public void Dispose() => _folder.Dispose();

    private static GgufBuilder BytePairs() => GgufBuilder.TinyLlama()
        .Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.tokens", (string[])["<unk>", "<s>", "</s>", "a", "b", "ab", "1", "é", "11", "111"])
        .Set("tokenizer.ggml.token_type", (int[])[3, 3, 3, 1, 1, 1, 1, 1, 1, 1]).Set("tokenizer.ggml.merges", (string[])["a b", "1 1", "11 1"]).Without("tokenizer.ggml.scores");

    /// <summary>The same under another architecture's keys.</summary>
    private static GgufBuilder Moved(string architecture) =>
        GgufBuilder.Sizes(BytePairs(), architecture, layers: 1, width: 8, heads: 2, kvHeads: 1, hidden: 6, context: 16).Set($"{architecture}.attention.layer_norm_rms_epsilon", 1e-5f);

    private static Tokenizer Load(GgufCheckpoint model) => TokenizerLoader.FromJson(model.TokenizerJson, model.Path);

    private static string[] Merges(GgufCheckpoint model) => [.. model.TokenizerJson["model"]!["merges"]!.AsArray().Select(merge => (string)merge!)];

    private void Refused(GgufBuilder file, params ReadOnlySpan<string> words)
    {
        UserException? refusal = null;
        string path = file.Save(_folder);
        try
        {
            using GgufCheckpoint model = GgufCheckpoint.Open(path);
            _ = model.TokenizerJson;
            _ = model.TokenizerConfig;
        }
        catch (UserException error)
        {
            refusal = error;
        }
        Sentence.Assert(refusal?.Message ?? "accepted", [path, .. words]);
    }
}
