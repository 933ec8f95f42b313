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

    /// <summary>Expected texts are Jinja2's, with transformers' options.</summary>
    [Theory]
    [InlineData("{% raw %}{{ x }} {% y %} {# z #}{% endraw %}", "{{ x }} {% y %} {# z #}"), InlineData("a\n  {% raw %}\n {{ b }}\n  {% endraw %}\nc", "a\n\n {{ b }}\nc")]
    [InlineData("a \n {%- raw -%}\n  {{ '\"' }}\\n \n{%- endraw -%} \n c", "a{{ '\"' }}\\nc"), InlineData("  {%+ raw %}x{% endraw +%}\ny", "  x\ny")]
    [InlineData("{{ 1.0 | tojson }} {{ [1.0, 2, 1.5] | tojson }} {{ {'a': 1.0} | tojson(indent=2) }}", "1.0 [1.0, 2, 1.5] {\n  \"a\": 1.0\n}")]
    public void Raw_text_and_numbers_are_written_as_Jinja2_does(string template, string expected) =>
        Assert.Equal(expected, new ChatTemplate(template, null, null, "template").Render([new("user", "Hi")], true));

    /// <summary>What is valid Jinja is not called damaged.</summary>
    [Theory]
    [InlineData("{% with x = 1 %}{{ x }}{% endwith %}", "{% with %}"), InlineData("{% if false %}{% include 'x' %}{% endif %}", "{% include %}")]
    [InlineData("{{ 1e3 }}", "1e3"), InlineData("{{ [1e3] }}", "1e3"), InlineData("{{ 1_000 }}", "1_000"), InlineData("{{ 1 is escaped }}", "the test 'escaped'")]
    [InlineData("{{ 3 is not divisibleby(3) }}", "the test 'divisibleby' with an argument"), InlineData("{{ [1] | select('escaped') | list }}", "the test 'escaped'")]
    [InlineData("{{ 'a' | wordwrap(3) }}", "the filter 'wordwrap'"), InlineData("{% for m in messages recursive %}{% endfor %}", "a recursive loop")]
    public void Jinja_that_is_not_supported_is_said_by_its_name(string template, string name)
    {
        string message = Assert.Throws<UserException>(() => new ChatTemplate(template, null, null, "template").Render([new("user", "Hi")], true)).Message;
        Sentence.Assert(message, "template: the chat template uses", name, "which is not supported here");
    }

    private static JsonArray Golden() =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "tests", "golden", "chat-templates", "cases.json")))!.AsArray();
}
