using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Chat templates render as Jinja2 does in the transformers library; expected texts are its own (tests/golden/chat-templates).</summary>
public sealed class ChatTemplateTests
{
    private sealed class FixedClock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2024, 7, 6, 9, 5, 3, TimeSpan.Zero);

        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;
    }

    public static TheoryData<string> Names() => [.. Golden().Select(each => (string)each!["name"]!)];

    [Theory, MemberData(nameof(Names))]
    public void A_template_renders_as_the_reference_does(string name)
    {
        JsonNode golden = Golden().First(each => (string)each!["name"]! == name)!;
        ChatTemplate template = new((string)golden["template"]!, (string?)golden["bos"], (string?)golden["eos"], "template", new FixedClock());
        Assert.NotEmpty(golden["cases"]!.AsArray());
        foreach (JsonNode? each in golden["cases"]!.AsArray())
        {
            IReadOnlyList<ChatMessage> messages = ChatMessage.Read(each!["messages"]!.AsArray(), "case");
            bool prompt = (bool)each["generation_prompt"]!;
            if (each["text"] is { } text)
            {
                Assert.Equal((string)text!, template.Render(messages, prompt));
                continue;
            }
            string message = Assert.Throws<UserException>(() => template.Render(messages, prompt)).Message;
            Assert.DoesNotContain('\n', message);
            if (each["raised"] is { } raised) Assert.Contains(((string)raised!).Replace('\n', ' ').TrimEnd('.', '!'), message);   // as one sentence
        }
    }

    [Theory]
    [InlineData("{% for a in range(100000000) %}{% endfor %}"), InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")]
    [InlineData("{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}")]
    public void A_template_that_does_not_end_is_ended(string template)
    {
        string message = Assert.Throws<UserException>(() => new ChatTemplate(template, null, null, "template").Render([new("user", "Hi")], true)).Message;
        Assert.StartsWith("template", message);
        Assert.DoesNotContain('\n', message);
    }

    [Theory, InlineData("{% if %}"), InlineData("{{ messages"), InlineData("{% for m in messages %}"), InlineData("{{ 1 | nosuchfilter }}"), InlineData("{{ messages[0].nothing.more }}")]
    public void A_damaged_template_is_one_sentence(string template)
    {
        string message = Assert.Throws<UserException>(() => new ChatTemplate(template, null, null, "template").Render([new("user", "Hi")], true)).Message;
        Assert.StartsWith("template", message);
        Assert.DoesNotContain('\n', message);
    }

    private static JsonArray Golden() =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "tests", "golden", "chat-templates", "cases.json")))!.AsArray();
}
