using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>Known text tasks through the command line: where their problems lie, and options that do nothing.</summary>
public sealed class ProblemOptionsTests : IDisposable
{
    private readonly TinyTextModel _model = new();
    private readonly TemporaryFolder _folder = new();

    public ProblemOptionsTests()
    {
        File.WriteAllLines(_folder["test.jsonl"], ["""{"question": "a", "answer": "#### 1"}""", """{"question": "b", "answer": "#### 2"}"""]);
    }

    [Fact]
    public async Task A_file_to_test_on_is_evaluated_whole()
    {
        CliResult result = await CliRun.Run(
            _folder.Path, "evaluate", "--task", "gsm8k", "--test-data", "test.jsonl", "--model", _model.Path, "--max-tokens", "4", "--methods", "reference", "--json", "--quiet");
        Assert.True(result.ExitCode == 0, result.Error);
        JsonObject report = JsonNode.Parse(result.Out)!.AsObject();
        Assert.Equal((2, 0.0), ((int)report["problems"]!, (double)report["results"]![0]!["pass_at_1"]!));
    }

    [Theory]
    [InlineData("--data", "--task", "math"), InlineData("--cot", "--task", "quality", "--data", "test.jsonl", "--cot"), InlineData("--truncate-passage", "--task", "math", "--data", "test.jsonl", "--truncate-passage")]
    [InlineData("--data", "--task", "star-graph", "--data", "test.jsonl"), InlineData("--chat-template", "--task", "test.jsonl", "--chat-template", "none"), InlineData("none.jsonl", "--task", "math", "--data", "none.jsonl")]
    public async Task What_is_missing_or_does_nothing_is_one_sentence(string part, params string[] args)
    {
        CliResult result = await CliRun.Run(_folder.Path, ["evaluate", "--model", _model.Path, "--quiet", .. args]);
        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Sentence.Assert(result.Error.Split('\n')[0], part);
    }

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }
}
