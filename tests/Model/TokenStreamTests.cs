using System.Diagnostics;

using CsCheck;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Ids that come one by one, and texts that are very long.</summary>
public class TokenStreamTests(ITestOutputHelper output)
{
    private static readonly string[] _pieces = ["a", "b ", " c", "é", "中", "😀", "e\u0301", "\n", "  ", "<s>", "<|end|>", "▁", "日", "12"];

    /// <summary>Decoding is such a stream itself; that its text is right is tested elsewhere, here that nothing is given too early.</summary>
    [Theory]
    [InlineData("llama"), InlineData("gpt2"), InlineData("metaspace first"), InlineData("metaspace never split"), InlineData("strip of three")]
    [InlineData("strip without fuse"), InlineData("added token outside the byte alphabet"), InlineData("added tokens with options, normalized")]
    public void What_a_stream_gives_is_together_what_decoding_gives(string name)
    {
        Tokenizer tokenizer = TestTokenizers.Make(name);
        string seed = Environment.GetEnvironmentVariable("CsCheck_Seed") ?? Gen.Seed.Single();
        output.WriteLine($"seed {seed}");
        Gen<int[]> encoded = Gen.Int[0, _pieces.Length - 1].Array[0, 8].Select(places => tokenizer.Encode(string.Concat(places.Select(at => _pieces[at]))));
        Gen.Select(Gen.OneOf(encoded, Gen.Int[-1, tokenizer.Count].Array[0, 20]), Gen.Bool).Sample((ids, skipSpecial) =>
        {
            TokenStream stream = tokenizer.Stream(skipSpecial);
            string[] parts = [.. ids.Select(stream.Append), stream.Finish()];
            Assert.All(parts, part => Assert.Equal(part, WellFormed(part)));   // no half of a surrogate pair alone
            Assert.Equal(tokenizer.Decode(ids, skipSpecial), string.Concat(parts));
        }, seed: seed, iter: 3000);
    }

    /// <summary>The rule of the reference library over a whole list: neighbouring bytes are one text, or a U+FFFD each.</summary>
    [Fact]
    public void Bytes_that_come_one_by_one_give_what_the_whole_list_spells()
    {
        Tokenizer tokenizer = TestTokenizers.Make("llama");
        string[] tokens = ["<0xC3>", "<0xA9>", "<0xE4>", "<0xB8>", "<0xAD>", "<0x0A>", "▁", "▁a", "abc"];
        Gen.Int[0, tokens.Length - 1].Array[0, 12].Sample(places =>
        {
            string[] list = [.. places.Select(at => tokens[at])];
            TokenStream stream = tokenizer.Stream();
            string given = string.Concat(list.Select(token => stream.Append(tokenizer.Find(token)!.Value))) + stream.Finish();
            Assert.Equal(Whole(list), given);
        }, iter: 10_000);

        static string Whole(string[] list)
        {
            string text = "";
            for (int start = 0, end; start < list.Length; start = Math.Max(end, start + 1))
            {
                for (end = start; end < list.Length && list[end].Length == 6; end++) { }
                byte[] bytes = [.. list[start..end].Select(token => Convert.ToByte(token[3..5], 16))];
                text += bytes.Length == 0 ? list[start].Replace('▁', ' ')
                    : System.Text.Unicode.Utf8.IsValid(bytes) ? System.Text.Encoding.UTF8.GetString(bytes) : new string('\uFFFD', bytes.Length);
            }
            return text.StartsWith(' ') ? text[1..] : text;
        }
    }

    [Fact]
    public void A_character_is_given_when_its_last_byte_is_there()
    {
        Tokenizer tokenizer = TestTokenizers.Make("gpt2");
        TokenStream stream = tokenizer.Stream();
        Assert.Equal(["", "", "中", "a"], tokenizer.Encode("中a").Select(stream.Append));
        Assert.Equal("", stream.Finish());

        stream = tokenizer.Stream();
        Assert.Equal(["", ""], tokenizer.Encode("中")[..2].Select(stream.Append));
        Assert.Equal("\uFFFD", stream.Finish());
    }

    [Fact]
    public void Bytes_of_a_character_outside_the_vocabulary_are_given_together()
    {
        Tokenizer tokenizer = TestTokenizers.Make("llama");
        TokenStream stream = tokenizer.Stream();
        int[] ids = tokenizer.Encode("中a", special: false);
        Assert.Equal(5, ids.Length);   // the space in front, three bytes, a
        Assert.Equal(["", "", "", "", "中a"], ids.Select(stream.Append));
        Assert.Equal("", stream.Finish());
    }

    [Fact]
    public void The_space_that_was_put_in_front_is_not_given()
    {
        Tokenizer tokenizer = TestTokenizers.Make("llama");
        TokenStream stream = tokenizer.Stream();
        Assert.Equal("abc abc", string.Concat(tokenizer.Encode("abc abc").Select(stream.Append)) + stream.Finish());
        Assert.Equal("  a", tokenizer.Decode(tokenizer.Encode("  a")));
    }

    /// <summary>A loop over all pairs for each merge would take minutes here.</summary>
    [Theory, InlineData("llama"), InlineData("gpt2")]
    public void A_million_characters_without_a_cut_take_seconds(string name)
    {
        Tokenizer tokenizer = TestTokenizers.Make(name);
        Random random = new(1);
        const int Length = 1_000_000;
        string letters = string.Create(Length, random, (span, source) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = (char)('a' + source.Next(4));
        });
        foreach (string text in (string[])[new('a', Length), letters, new(' ', Length), new('中', Length / 2), new('\u0301', Length / 2)])
        {
            Stopwatch watch = Stopwatch.StartNew();
            int[] ids = tokenizer.Encode(text);
            Assert.Equal(text, tokenizer.Decode(ids));
            output.WriteLine($"{text[..3]}…: {ids.Length} ids, {watch.ElapsedMilliseconds} ms");
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"{text[..3]}… took {watch.Elapsed}.");
        }
    }

    [Fact]
    public void Encoding_from_several_threads_gives_the_same_ids()
    {
        Tokenizer tokenizer = TestTokenizers.Make("gpt2");
        string text = string.Concat(Enumerable.Repeat("abc ab 123's é 中 ", 200));
        int[] expected = tokenizer.Encode(text);
        Parallel.For(0, 16, _ => Assert.Equal(expected, tokenizer.Encode(text)));
    }

    private static string WellFormed(string text) => System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text));
}
