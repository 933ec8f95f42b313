using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Rules that judge a response, and those that are none.</summary>
public sealed class TextRuleTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("""{"exact": " yes "}""", "yes\n", "Yes"), InlineData("""{"number": 7}""", "3 and 7.0", "7 and 3"), InlineData("""{"choice": "B"}""", "A cat? No: (B).", "(B) or rather (A)")]
    [InlineData("""{"choice": "B"}""", "\\boxed{B} not A", "I don't know"), InlineData("""{"choice": "A"}""", "the answer is A", "Bad"), InlineData("""{"math": "\\frac12"}""", "so \\boxed{0.5}", "so 0.5")]
    [InlineData("""{"matches": "^\\d+ cats$"}""", "12 cats", "12 cats!"), InlineData("""{"math": "5", "lacks": "maybe"}""", "\\boxed{5}", "maybe \\boxed{5}"), InlineData("""{"contains": ["a", "b"]}""", "b a", "ab")]
    public void A_rule_rewards_what_meets_all_of_its_conditions(string rule, string good, string bad)
    {
        Assert.Equal((1, 0), (Rule(rule).Reward(good, ended: true), Rule(rule).Reward(bad, ended: true)));
    }

    [Theory]
    [InlineData("""{"math": "5"}""", "\\boxed{5} \\boxed{6}", "6"), InlineData("""{"choice": "A"}""", "(C)", "C"), InlineData("""{"number": 1}""", "1,000 or 2.50", "2.50"), InlineData("""{"ends": true}""", " all ", "all"), InlineData("""{"number": 1}""", "none", "")]
    [InlineData("""{"number": 1}""", "it is -4.", "-4"), InlineData("""{"number": 1}""", "9-4", "4"), InlineData("""{"number": 1}""", "1,", "1")]
    public void An_answer_is_what_the_rule_looks_at(string rule, string response, string answer) => Assert.Equal(answer, Rule(rule).Answer(response));

    [Fact]
    public void A_command_reads_the_response_and_prints_the_reward()
    {
        File.WriteAllText(_folder["judge.sh"], "text=$(cat)\nif [ \"$text\" = \"né\" ]; then echo 0.25; else echo ' 1 '; fi\n");
        TextRule rule = Rule(new JsonObject { ["command"] = new JsonArray("sh", _folder["judge.sh"]), ["lacks"] = "dog" }.ToJsonString());
        Assert.Equal((0.25f, 1f, 0f), (rule.Reward("né", true), rule.Reward(new string('x', 1 << 20), true), rule.Reward("a dog", true)));
        Assert.Equal(0.5f, Rule("""{"command": ["echo", "0.5"]}""").Reward(new string('x', 1 << 20), true));   // it reads nothing
    }

    [Fact]
    public void A_command_that_ctrl_c_ended_runs_once_more_so_that_the_run_can_save()
    {
        File.WriteAllText(_folder["judge.sh"], $"if [ -f {_folder["seen"]} ]; then echo 0.5; else touch {_folder["seen"]}; exit 130; fi\n");
        Assert.Equal(0.5f, Rule(new JsonObject { ["command"] = new JsonArray("sh", _folder["judge.sh"]) }.ToJsonString()).Reward("a", ended: true));
        Sentence.Assert(Assert.Throws<UserException>(() => Rule("""{"command": ["sh", "-c", "exit 130"]}""").Reward("a", ended: true)).Message, "exit code 130");
    }

    [Theory]
    [InlineData("""{"command": "no-such-program"}""", "no-such-program", "started"), InlineData("""{"command": ["sh", "-c", "echo 2"]}""", "'2'", "from 0 to 1"), InlineData("""{"command": ["sh", "-c", "echo well >&2; exit 3"]}""", "exit code 3", "well")]
    [InlineData("""{"command": ["sh", "-c", "true"]}""", "printed", "from 0 to 1"), InlineData("""{"command": ["sleep", "100"], "timeout": 0.2}""", "0.2 seconds", "timeout"), InlineData("""{"command": ["echo", "NaN"]}""", "NaN", "from 0 to 1")]
    [InlineData("""{"command": ["sh", "-c", "sleep 100 & echo 1"], "timeout": 0.2}""", "0.2 seconds", "timeout")]
    public void A_command_that_fails_is_one_sentence(string rule, params string[] parts) =>
        Sentence.Assert(Assert.Throws<UserException>(() => Rule(rule).Reward("a", ended: true)).Message, ["file, line 1", .. parts]);

    [Theory]
    [InlineData("""{"choice": "b"}""", "choice"), InlineData("""{"choice": "AB"}""", "choice"), InlineData("""{"math": ""}""", "math"), InlineData("""{"exact": 5}""", "exact"), InlineData("""{"timeout": 5}""", "condition")]
    [InlineData("""{"command": []}""", "command"), InlineData("""{"command": "a", "timeout": 0}""", "timeout"), InlineData("""{"command": "a", "timeout": "b"}""", "timeout"), InlineData("""{"timeout": 5, "ends": true}""", "timeout"), InlineData("""{"maths": "5"}""", "maths")]
    [InlineData("{}", "condition"), InlineData("""{"contains": null}""", "condition"), InlineData("""{"contains": []}""", "condition"), InlineData("""{"lacks": [], "timeout": 5}""", "condition"), InlineData("""{"ends": false}""", "condition")]
    [InlineData("""{"number": null, "exact": null}""", "condition"), InlineData("""{"contains": ""}""", "contains"), InlineData("""{"lacks": ["dog", " "], "ends": true}""", "lacks"), InlineData("""{"matches": ""}""", "matches")]
    public void What_is_no_rule_is_refused(string rule, string part) => Sentence.Assert(Assert.Throws<UserException>(() => Rule(rule)).Message, "file, line 1", part);

    public void Dispose() => _folder.Dispose();

    private static TextRule Rule(string json) => new(JsonNode.Parse(json)!.AsObject(), "file, line 1: rule");
}
