using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Which models can read each other's tokens.</summary>
public class TokenizerMatchTests
{
    [Fact]
    public void The_same_tokens_match_however_a_text_is_cut()
    {
        JsonObject other = TestTokenizers.Document("gpt2");
        other["model"]!["merges"] = new JsonArray();
        Require(other);
        Require(TestTokenizers.Document("gpt2"));
    }

    [Fact]
    public void A_special_token_in_reserve_may_bear_another_name_and_no_other_token_may()
    {
        JsonObject plain = TestTokenizers.Document("gpt2");
        int id = TokenizerLoader.FromJson(plain, "plain").Count;
        JsonObject reserved = With(id, "<|reserved_special_token_0|>", isSpecial: true), used = With(id, "<|eom|>", isSpecial: true);
        Require(reserved, used);
        Refuses(With(id, "<|pad|>", isSpecial: true), used, id);
        Refuses(With(id, "<|eom|>", isSpecial: false), used, id);
        Refuses(With(id, "reserved words", isSpecial: false), With(id, "other words", isSpecial: false), id);
        Refuses(plain, used, id);
    }

    private static JsonObject With(int id, string token, bool isSpecial)
    {
        JsonObject document = TestTokenizers.Document("gpt2");
        if (document["added_tokens"] is not JsonArray) document["added_tokens"] = new JsonArray();
        document["added_tokens"]!.AsArray().Add(new JsonObject
        {
            ["id"] = id,
            ["content"] = token,
            ["special"] = isSpecial,
            ["normalized"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["single_word"] = false,
        });
        return document;
    }

    private static void Require(JsonObject document, JsonObject? reference = null) => TokenizerMatch.Require(
        TokenizerLoader.FromJson(document, "small"), "small", TokenizerLoader.FromJson(reference ?? TestTokenizers.Document("gpt2"), "large"), "large");

    private static void Refuses(JsonObject document, JsonObject reference, int id) =>
        Sentence.Assert(Assert.Throws<UserException>(() => Require(document, reference)).Message, "small", "large", $"token {id})");
}
