using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>grade: a pair, a file of pairs, and what is no pair.</summary>
public sealed class GradeVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("math", @"\frac12", "0.5", true, "1/2", "1/2"), InlineData("math", "-10", "10", false, "-10", "10"), InlineData("gsm8k", "so 5\n#### 1,600", "1600", true, "1600", "1600")]
    [InlineData("gsm8k", "it is 7 of 9", "#### 7", false, "9", "7"), InlineData("math", "", "5", false, "", "5"), InlineData("gsm8k", "none", "none", false, "", "")]
    public async Task A_pair_is_graded_and_either_verdict_is_a_success(string task, string answer, string reference, bool equal, string normal, string referenceNormal)
    {
        CliResult result = await CliRun.Run(_folder.Path, "grade", "--task", task, answer, reference, "--json");
        JsonObject line = result.Json();
        Assert.Equal((equal, normal, referenceNormal), ((bool)line["equal"]!, (string)line["answer"]!, (string)line["reference"]!));
        CliResult plain = await CliRun.Run(_folder.Path, "grade", "--task", task, answer, reference);
        Assert.Equal((0, equal), (plain.ExitCode, plain.Out.StartsWith("equal:", StringComparison.Ordinal)));
    }

    [Theory, InlineData("-5", "--", "--5", "-5"), InlineData("5", "--json", "--", "--5", "5"), InlineData("-5", "-5", "-5")]
    public async Task What_begins_with_a_dash_can_be_an_answer(string normal, params string[] args) =>
        Assert.Contains(normal, (await CliRun.Run(_folder.Path, ["grade", .. args])).Done().Out);

    [Fact]
    public async Task A_file_gives_a_line_a_pair()
    {
        File.WriteAllText(_folder["pairs.json"], """[{"answer": "1,2", "reference": "2, 1", "form": "list"}, {"answer": "x", "reference": "y"}]""");
        CliResult result = await CliRun.Run(_folder.Path, "grade", "--file", "pairs.json", "--json");
        Assert.Equal([true, false], result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => (bool)JsonNode.Parse(line)!["equal"]!));
    }

    [Theory]
    [InlineData("ANSWER"), InlineData("REFERENCE", "5"), InlineData("exclude", "5", "--file", "pairs.json"), InlineData("none.json", "--file", "none.json"), InlineData("answer", "--file", "bad.json")]
    [InlineData("array", "--file", "object.json"), InlineData("maths", "--task", "maths", "5", "5")]
    public async Task What_is_no_pair_is_one_sentence(string part, params string[] args)
    {
        File.WriteAllText(_folder["bad.json"], """[{"reference": "2"}]""");
        File.WriteAllText(_folder["object.json"], "{}");
        CliResult result = await CliRun.Run(_folder.Path, ["grade", .. args]);
        result.Refused(part);
    }

    public void Dispose() => _folder.Dispose();
}
