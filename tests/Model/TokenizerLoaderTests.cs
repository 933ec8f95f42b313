using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

using CsCheck;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Documents that must be refused: what is not known here, by its name, and what is damaged, without a crash.</summary>
public class TokenizerLoaderTests
{
    private static readonly string[] _pieces =
    [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "0", "-1", "1e9", "99999999999", "\"a\":", "{}", "[]", "\"a b\"", "[\"a\",\"b\"]", "\\ud800", "\\u0000",
        "\"type\":\"Sequence\",", "\"ByteLevel\"", "\"Split\"", "\"Metaspace\"", "\"decoders\"", "\"merges\"", "\"vocab\"", "\"(\"", "\"\"", "[[[[[[[[[[[[", "{\"a\":{\"a\":",
    ];

    [Theory]
    [InlineData("model", """{"type":"Unigram","vocab":[]}""", "'Unigram'")]
    [InlineData("model", """{"type":"WordPiece","vocab":{}}""", "'WordPiece'")]
    [InlineData("model.dropout", "0.1", "'dropout'")]
    [InlineData("model.continuing_subword_prefix", "\"##\"", "continuing_subword_prefix")]
    [InlineData("model.end_of_word_suffix", "\"</w>\"", "end_of_word_suffix")]
    [InlineData("model.surprise", "1", "'surprise'")]
    [InlineData("model.unk_token", "\"<none>\"", "'<none>'")]
    [InlineData("normalizer", """{"type":"Lowercase"}""", "'Lowercase'")]
    [InlineData("normalizer", """{"type":"NFKC"}""", "'NFKC'")]
    [InlineData("normalizer", """{"type":"NFC","option":1}""", "'option'")]
    [InlineData("normalizer", """{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"StripAccents"}]}""", "normalizer.normalizers[1]", "'StripAccents'")]
    [InlineData("normalizer", """{"type":"Replace","pattern":{"Regex":"a+"},"content":"b"}""", "'Regex'")]
    [InlineData("pre_tokenizer", """{"type":"BertPreTokenizer"}""", "'BertPreTokenizer'")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"a++"},"behavior":"Isolated","invert":false}""", "a++")]
    [InlineData("pre_tokenizer", """{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways","invert":false}""", "'Sideways'")]
    [InlineData("pre_tokenizer", """{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}""", "'last'")]
    [InlineData("pre_tokenizer", """{"type":"ByteLevel","add_prefix_space":1}""", "'add_prefix_space'")]
    [InlineData("post_processor", """{"type":"BertProcessing"}""", "'BertProcessing'")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[],"special_tokens":{}}""", "0 times")]
    [InlineData("post_processor", """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{}}""", "'x'")]
    [InlineData("decoder", """{"type":"WordPiece"}""", "'WordPiece'")]
    [InlineData("decoder", "null", "'decoder'")]
    [InlineData("decoder", """{"type":"Strip","content":" ","start":0,"stop":1}""", "'stop'")]
    [InlineData("surprise", "{}", "'surprise'")]
    [InlineData("added_tokens", """[{"id":-1,"content":"x"}]""", "'id'")]
    [InlineData("added_tokens", """[{"id":5000000,"content":"x"}]""", "'id'")]
    [InlineData("added_tokens", """[{"id":1,"content":"x"}]""", "'x'", "id 1")]
    [InlineData("added_tokens", """[{"id":900,"content":"!"}]""", "'!'")]
    [InlineData("model.vocab", """{"a":0,"b":0}""", "same id 0")]
    [InlineData("model.vocab", """{"a":4194304}""", "'a'")]
    [InlineData("model.vocab", """{"a":1.5}""", "'a'")]
    [InlineData("model.merges", """["a c"]""", "merge 0")]
    [InlineData("model.merges", """["a"]""", "merge 0")]
    [InlineData("model.merges", """[["a","b","c"]]""", "merge 0")]
    [InlineData("model.merges", "{}", "'merges'")]
    public void Says_by_name_what_it_does_not_take(string place, string json, params string[] names)
    {
        JsonObject document = TestTokenizers.Document("gpt2");
        string[] path = place.Split('.');
        JsonObject parent = path.Length == 1 ? document : document[path[0]]!.AsObject();
        if (place == "model.vocab") parent["merges"] = new JsonArray();
        if (place == "model.vocab") document["added_tokens"] = new JsonArray();
        parent[path[^1]] = JsonNode.Parse(json);
        Sentence.Assert(Assert.Throws<UserException>(() => TokenizerLoader.FromJson(document, "source.json")).Message, ["source.json", .. names]);
    }

    [Theory]
    [InlineData("", "not valid JSON"), InlineData("[]", "not an object"), InlineData("{}", "'model'"), InlineData("{\"model\":{}}", "'vocab'")]
    [InlineData("{\"model\":3}", "'model'"), InlineData("{\"a\":1,\"a\":2}", "'a' is there twice"), InlineData("{\"model\":{\"vocab\":{},\"vocab\":{}}}", "twice")]
    [InlineData("{} {}", "not valid JSON"), InlineData("{\"version\":\"\\ud800\"}", "model")]
    public void Says_what_is_wrong_with_a_damaged_file(string json, string words)
    {
        using TemporaryFolder folder = new();
        string path = Path.Combine(folder.Path, "tokenizer.json");
        File.WriteAllText(path, json);
        Sentence.Assert(Assert.Throws<UserException>(() => TokenizerLoader.FromFolder(folder.Path)).Message, path, words);
    }

    [Fact]
    public void Says_what_it_looked_for_in_a_folder_without_a_tokenizer()
    {
        using TemporaryFolder folder = new();
        Sentence.Assert(Refusal(), folder.Path, "tokenizer.json", "vocab.json", "merges.txt");
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.model"), "protobuf");
        Sentence.Assert(Refusal(), "tokenizer.model", "SentencePiece");
        Sentence.Assert(Assert.Throws<UserException>(() => TokenizerLoader.FromFolder(Path.Combine(folder.Path, "absent"))).Message, "absent");

        // Qwen2 has the same two files, but cuts a text another way.
        File.WriteAllText(Path.Combine(folder.Path, "vocab.json"), """{"a":0}""");
        File.WriteAllText(Path.Combine(folder.Path, "merges.txt"), "");
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer_config.json"), """{"tokenizer_class":"Qwen2Tokenizer"}""");
        Sentence.Assert(Refusal(), "Qwen2Tokenizer", "tokenizer.json");

        string Refusal() => Assert.Throws<UserException>(() => TokenizerLoader.FromFolder(folder.Path)).Message;
    }

    [Fact]
    public void Tokens_that_were_added_to_GPT2s_two_files_are_found()
    {
        using TemporaryFolder folder = Gpt2Folder("""{"<user>":5,"<tool>":6}""", """{"added_tokens_decoder":{"4":{"content":"<pad>","special":true},"5":{"content":"<user>","special":false,"lstrip":true}},"additional_special_tokens":["<tool>"],"eos_token":"<|endoftext|>"}""");
        Tokenizer tokenizer = TokenizerLoader.FromFolder(folder.Path);
        Assert.Equal(7, tokenizer.Count);
        Assert.Equal([3, 5, 2, 6, 4, 0], tokenizer.Encode("ab <user>b<tool><pad><|endoftext|>"));
        Assert.Equal([true, false, false, false, true, false, true], Enumerable.Range(0, 7).Select(tokenizer.IsSpecial));
        Assert.Equal("ab<user>b", tokenizer.Decode([3, 5, 2, 6, 4, 0]));
        Assert.Contains("added_tokens.json", TextDocument.ReadAll(folder.Path).Select(document => document.Name));   // a policy takes them along
    }

    [Theory]
    [InlineData("""{"<x>":2}""", "{}", "added_tokens.json", "'<x>'", "2", "after the 4 tokens"), InlineData("""{"<x>":"4"}""", "{}", "added_tokens.json", "'<x>'")]
    [InlineData("""{"<x>":5}""", """{"added_tokens_decoder":{"4":{"content":"<x>"}}}""", "added_tokens.json", "'<x>'", "5", "4 in tokenizer_config.json")]
    [InlineData("{}", """{"added_tokens_decoder":{"four":{"content":"<x>"}}}""", "added_tokens_decoder", "'four'")]
    [InlineData("""{"<x>":4,"<y>":4}""", "{}", "'<x>'", "'<y>'", "same id 4"), InlineData("""{"ab":4}""", "{}", "'ab'", "3 in the vocabulary")]
    public void Added_tokens_of_GPT2s_files_must_follow_the_vocabulary(string added, string config, params string[] names)
    {
        using TemporaryFolder folder = Gpt2Folder(added, config);
        Sentence.Assert(Assert.Throws<UserException>(() => TokenizerLoader.FromFolder(folder.Path)).Message, [folder.Path, .. names]);
    }

    private static TemporaryFolder Gpt2Folder(string added, string config)
    {
        TemporaryFolder folder = new();
        File.WriteAllText(folder["config.json"], """{"model_type":"gpt2","n_layer":1,"n_embd":4,"n_head":1,"vocab_size":7,"n_positions":8}""");
        File.WriteAllText(folder["vocab.json"], """{"<|endoftext|>":0,"a":1,"b":2,"ab":3}""");
        File.WriteAllText(folder["merges.txt"], "#version: 0.2\na b\n");
        File.WriteAllText(folder["added_tokens.json"], added);
        File.WriteAllText(folder["tokenizer_config.json"], config);
        return folder;
    }

    [Fact]
    public void A_byte_order_mark_is_passed_over()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(Path.Combine(folder.Path, "tokenizer.json"), TestTokenizers.Document("llama").ToJsonString(), new UTF8Encoding(true));
        Assert.Equal(TestTokenizers.Make("llama").Fingerprint, TokenizerLoader.FromFolder(folder.Path).Fingerprint);
    }

    [Fact]
    public void Damaged_bytes_are_read_or_refused()
    {
        byte[][] good = [.. TestTokenizers.Names.Select(name => JsonSerializer.SerializeToUtf8Bytes(Small(TestTokenizers.Document(name))))];
        Gen<(int Kind, int Place, int Value)[]> changes = Gen.Select(Gen.Int[0, 3], Gen.Int[0, int.MaxValue - 1], Gen.Int[0, 255]).Array[1, 4];
        int taken = 0, refused = 0;
        Gen.Select(Gen.Int[0, good.Length - 1], changes).Sample((which, edits) =>
        {
            List<byte> bytes = [.. good[which]];
            foreach ((int kind, int place, int value) in edits)
            {
                int at = place % bytes.Count;
                byte[] piece = Encoding.UTF8.GetBytes(_pieces[value % _pieces.Length]);
                if (kind == 0) bytes[at] = (byte)value;
                else if (kind == 1) bytes.InsertRange(at, piece);
                else if (kind == 2) bytes.RemoveRange(at, Math.Min(value % 20, bytes.Count - at - 1));
                else for (int i = 0; i < piece.Length && at + i < bytes.Count; i++) bytes[at + i] = piece[i];
            }
            try
            {
                Tokenizer tokenizer = TokenizerJson.Read(bytes.ToArray(), "memory");
                tokenizer.Decode(tokenizer.Encode("abc 12é中 <s> a"));
                Interlocked.Increment(ref taken);
            }
            catch (UserException error)
            {
                Assert.StartsWith("memory", error.Message);
                Interlocked.Increment(ref refused);
            }
        }, iter: 20_000);
        Assert.True(taken > 100 && refused > 5000, $"{taken} taken, {refused} refused");
    }

    /// <summary>Drops most of a vocabulary of bytes, so that damage meets the rest more often.</summary>
    private static JsonObject Small(JsonObject document)
    {
        JsonObject vocabulary = document["model"]!["vocab"]!.AsObject();
        HashSet<string> merged = [.. document["model"]!["merges"]!.AsArray().SelectMany(merge => merge is JsonArray pair ? pair.Select(part => (string)part!) : ((string)merge!).Split(' '))];
        foreach (string token in vocabulary.Select(entry => entry.Key).ToArray())
            if (token.Length == 1 && !merged.Contains(token)) vocabulary.Remove(token);
        return document;
    }
}
