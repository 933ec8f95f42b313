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
        JsonObject report = result.Json();
        Assert.Equal((2, 0.0), ((int)report["problems"]!, (double)report["results"]![0]!["pass_at_1"]!));
    }

    /// <summary>What one problem cannot tell is null in JSON, and a dash in tables.</summary>
    [Fact]
    public async Task Errors_that_one_problem_does_not_tell_are_null()
    {
        string[] args = ["evaluate", "--task", "gsm8k", "--test-data", "test.jsonl", "--limit", "1", "--model", _model.Path, "--max-tokens", "4", "--methods", "reference", "--temperatures", "1,0.5", "--quiet"];
        CliResult result = await CliRun.Run(_folder.Path, [.. args, "--samples", "2", "--json", "--out", "run"]);
        JsonNode cold = result.Json()["results"]![1]!;
        Assert.Equal((0.0, 0.0), ((double)cold["pass_at_1_stderr"]!, (double)cold["gain_stderr"]!));
        Assert.True((double)cold["kl_origin_stderr"]! > 0);
        Assert.True(cold.AsObject().ContainsKey("maj_at_k_stderr"));
        Assert.Null(cold["maj_at_k_stderr"]);
        Assert.Null(cold["pass_at_k_stderr"]);
        Assert.Contains("0.000 ± –", File.ReadAllText(_folder["run", "report.html"]), StringComparison.Ordinal);
        CliResult one = await CliRun.Run(_folder.Path, [.. args, "--out", "one"]);
        one.Done();
        Assert.Contains("–", one.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", one.Out + File.ReadAllText(_folder["one", "results.json"]), StringComparison.Ordinal);
        Assert.True(File.Exists(_folder["one", "accuracy-kl.png"]));
    }

    [Theory]
    [InlineData("--data", "--task", "math"), InlineData("--cot", "--task", "quality", "--data", "test.jsonl", "--cot"), InlineData("--truncate-passage", "--task", "math", "--data", "test.jsonl", "--truncate-passage")]
    [InlineData("--data", "--task", "star-graph", "--data", "test.jsonl"), InlineData("--chat-template", "--task", "test.jsonl", "--chat-template", "none"), InlineData("none.jsonl", "--task", "math", "--data", "none.jsonl")]
    public async Task What_is_missing_or_does_nothing_is_one_sentence(string part, params string[] args)
    {
        CliResult result = await CliRun.Run(_folder.Path, ["evaluate", "--model", _model.Path, "--quiet", .. args]);
        result.Refused(part);
    }

    [Fact]
    public async Task A_line_that_is_not_UTF8_is_refused_by_its_number()
    {
        File.WriteAllBytes(_folder["broken.jsonl"], [.. "\uFEFF{\"question\": \"a\", \"answer\": \"#### 1\"}\n{\"question\": \"caf"u8, 0xE9, .. "\", \"answer\": \"#### 2\"}\n"u8]);
        (await CliRun.Run(_folder.Path, "evaluate", "--model", _model.Path, "--quiet", "--task", "gsm8k", "--test-data", "broken.jsonl")).Refused("broken.jsonl", "line 2", "UTF-8");
    }

    /// <summary>A token that was added to the tokenizer after training: the last one here, " cat".</summary>
    [Fact]
    public async Task A_token_without_a_row_of_the_model_is_refused_only_where_a_prompt_has_it()
    {
        using TinyTextModel small = new(padding: -1);
        string[] evaluate = ["evaluate", "--model", small.Path, "--max-tokens", "4", "--methods", "reference", "--quiet", "--json"];
        Assert.Equal(2, (int)(await CliRun.Run(_folder.Path, [.. evaluate, "--task", "gsm8k", "--test-data", "test.jsonl"])).Json()["problems"]!);
        File.WriteAllText(_folder["rules.jsonl"], """{"prompt": "the", "rule": {"contains": "a"}}""");
        (await CliRun.Run(_folder.Path, "collect", "--model", small.Path, "--task", "rules.jsonl", "--max-tokens", "4", "--rollouts", "8", "--samples", "2", "--keep-no-variation", "--quiet")).Done();
        File.WriteAllText(_folder["rules.jsonl"], """{"prompt": "the cat", "rule": {"contains": "a"}}""");
        string[] names = ["'Ġcat'", $"id {small.Tokens - 1}", $"knows {small.Tokens - 1} tokens"];
        (await CliRun.Run(_folder.Path, [.. evaluate, "--task", "rules.jsonl"])).Refused(names);
        (await CliRun.Run(_folder.Path, "generate", "--model", small.Path, "--prompt", "the cat", "--max-tokens", "4", "--quiet")).Refused(names);
        (await CliRun.Run(_folder.Path, "generate", "--model", small.Path, "--prompt", "the", "--max-tokens", "4", "--quiet")).Done();
    }

    [Fact]
    public async Task Messages_for_a_model_without_a_template_are_refused_without_naming_an_option_that_is_not_there()
    {
        using TinyTextModel plain = new(hasChat: false);
        CliResult words = await CliRun.Run(_folder.Path, "evaluate", "--model", plain.Path, "--task", "word-problems", "--quiet");
        words.Refused("no chat template", "instruction-tuned");
        Assert.DoesNotContain("--chat", words.Error, StringComparison.Ordinal);
        File.WriteAllText(_folder["both.jsonl"], """{"prompt": "a", "messages": [{"role": "user", "content": "b"}], "rule": {"contains": "a"}}""");
        (await CliRun.Run(_folder.Path, "evaluate", "--model", _model.Path, "--task", "both.jsonl", "--quiet")).Refused("both.jsonl, line 1", "both a prompt and messages");
    }

    /// <summary>The bound is said, and nothing is begun.</summary>
    [Theory]
    [InlineData("generate --prompt a --max-tokens 2147483647", "--max-tokens 2147483647", "1048576"), InlineData("generate --prompt a --samples 2147483647", "--samples 2147483647", "65536")]
    [InlineData("evaluate --task test.jsonl --max-tokens 2147483647", "--max-tokens 2147483647", "1048576"), InlineData("evaluate --task test.jsonl --samples 2147483647", "--samples 2147483647", "65536")]
    [InlineData("diagnose --task many.jsonl --guide none --measure --samples 2147483647", "--samples 2147483647", "65536")]
    [InlineData("evaluate --task many.jsonl --limit 10000 --samples 65536", "--samples 65536", "134217728"), InlineData("train --data d --epochs 2000000000", "--epochs 2000000000", "100000")]
    [InlineData("train --data d --batch 2000000000", "--batch 2000000000", "65536"), InlineData("collect --task test.jsonl --batch-rows 2147483647", "--batch-rows 2147483647", "65536")]
    [InlineData("collect --task test.jsonl --rollout-limit 2147483647", "--rollout-limit 2147483647", "1048576"), InlineData("word-problems --candidates 5000", "--candidates 5000", "4096")]
    [InlineData("speed decode --rows 1,2147483647", "--rows 1,2147483647", "65536"), InlineData("speed decode --context 2147483647", "--context 2147483647", "1048576")]
    public async Task Numbers_beyond_all_use_are_refused(string args, params string[] names)
    {
        File.WriteAllLines(_folder["many.jsonl"], Enumerable.Repeat("""{"prompt": "a", "rule": {"contains": "a"}}""", 2100));
        string[] before = _folder.Entries();
        CliResult result = await CliRun.Run(_folder.Path, [.. args.Split(' '), "--model", _model.Path, "--quiet"]);
        result.Refused(names);
        Assert.Equal(before, _folder.Entries());
    }

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }
}
