using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;
using QSharp.Tests.Cli;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Tasks from files: layouts, prompts, splits, right answers, and lines that are wrong.</summary>
public sealed class TextTaskTests : IDisposable
{
    private readonly TinyTextModel _tiny = new();
    private readonly TemporaryFolder _folder = new();
    private readonly ModelFiles _model;

    public TextTaskTests()
    {
        _model = ModelFiles.Open(_tiny.Path);
    }

    [Theory]
    [InlineData("gsm8k", """{"question": "how many", "answer": "so\n#### 1,234"}""", "1234", "1235")]
    [InlineData("math", """{"problem": "how many", "solution": "first \\boxed{3}, so \\boxed{\\frac12}", "category": "Algebra", "difficulty": 2, "prompt": "unused"}""", "0.5", "3")]
    [InlineData("math", """{"problem": "how many", "answer": "(1,2)", "level": 3, "subject": "Algebra", "unique_id": "x"}""", "\\left(1, 2\\right)", "(2,1)")]
    [InlineData("math", """{"question": "how many", "answer": "so\n#### 7"}""", "7.0", "8")]
    public void Each_layout_gives_the_prompt_and_the_right_answer(string name, string line, string right, string wrong)
    {
        TextTask task = Task(name, test: [line]);
        TextProblem problem = (TextProblem)Assert.Single(task.TestProblems(0, 9));
        // One user's message through the template, one BOS.
        Assert.Equal(_model.Tokenizer.Encode("<s>user Problem:\n\nhow many Write your answer inside \\boxed{}.\n\nSolution: . bot ", special: false), problem.Prompt);
        Assert.Equal(1, problem.Rule.Reward($"it is \\boxed{{{right}}}", ended: false));
        Assert.Equal(0, problem.Rule.Reward($"it is \\boxed{{{wrong}}}", ended: true));
        Assert.Equal(0, problem.Rule.Reward($"it is {right}", ended: true));   // no box, no answer
        Assert.Equal(("", right), (problem.Rule.Answer($"it is {right}"), problem.Rule.Answer($"it is \\boxed{{{right}}}")));

        TextTask plain = Task(new TextTaskSettings(name, null, Write("plain", line), 8, UseChat: false, StepByStep: true));
        Assert.Equal(_model.Tokenizer.Encode("Problem:\n\nhow many Let's think step by step. Write your answer inside \\boxed{}.\n\nSolution:"), plain.TestProblems(0, 1)[0].Prompt);
        Assert.NotEqual(task.Settings, plain.Settings);
        Assert.Equal(task.Fingerprint, plain.Fingerprint);
    }

    [Fact]
    public void A_problem_of_QuALITY_is_judged_by_its_letter_and_its_passage_cut_only_if_that_is_wished()
    {
        string Line(int words) => new JsonObject
        {
            ["article"] = string.Join(' ', Enumerable.Range(0, words).Select(i => "abcdefghij"[i % 10].ToString())),
            ["question"] = "who",
            ["options"] = new JsonArray("a", "b", "c", "d"),
            ["gold_label"] = 3,
        }.ToJsonString();
        TextProblem problem = (TextProblem)Task("quality", test: [Line(4)]).TestProblems(0, 1)[0];
        Assert.Equal((1, 1, 0, 0), (problem.Rule.Reward("\\boxed{C}", true), problem.Rule.Reward("I say (C).", true), problem.Rule.Reward("\\boxed{B}", true), problem.Rule.Reward("", true)));
        Assert.Equal("C", problem.Rule.Answer("A is wrong, so \\boxed{\\text{(C)}}"));

        UserException refused = Assert.Throws<UserException>(() => Task("quality", test: [Line(4), Line(300)]));
        Sentence.Assert(refused.Message, "line 2", "--truncate-passage");
        TextTaskSettings cut = new("quality", null, Write("long", Line(300)), 8, TruncatePassage: true);
        int[] prompt = Task(cut).TestProblems(0, 1)[0].Prompt;
        Assert.InRange(prompt.Length, _model.Transformer.Context - 8 - 4, _model.Transformer.Context - 8);
        // The end of the passage is what stays.
        Assert.Contains("g h i j", _model.Tokenizer.Decode(prompt), StringComparison.Ordinal);
        UserException impossible = Assert.Throws<UserException>(() => Task(cut with { ResponseLimit = 120 }));
        Sentence.Assert(impossible.Message, "line 1", "do not fit");
    }

    /// <summary>Alone, a passage may be of fewer tokens than in the prompt, which is more to cut than there seems to be.</summary>
    [Fact]
    public void A_passage_may_be_cut_away_whole()
    {
        JsonObject tokenizer = JsonNode.Parse(File.ReadAllText(_tiny["tokenizer.json"]))!.AsObject();
        JsonObject vocabulary = tokenizer["model"]!["vocab"]!.AsObject();
        foreach ((string old, string token) in ((string, string)[])[("ca", "Ġc"), ("cat", "Ġca")])
        {
            vocabulary[token] = (int)vocabulary[old]!;
            vocabulary.Remove(old);
        }
        tokenizer["model"]!["merges"] = new JsonArray("Ġ c", "Ġc a", "Ġca t");
        tokenizer["pre_tokenizer"]!["add_prefix_space"] = true;
        File.WriteAllText(_tiny["tokenizer.json"], tokenizer.ToJsonString());
        using ModelFiles model = ModelFiles.Open(_tiny.Path);
        Assert.Equal((1, 3), (model.Tokenizer.Encode("cat", special: false).Length, model.Tokenizer.Encode(".cat", special: false).Length - model.Tokenizer.Encode(".", special: false).Length));
        int[] empty = model.Tokenizer.Encode(QualityLine.Prompt("", "who", ["a", "b"]));
        string line = new JsonObject { ["article"] = "cat", ["question"] = "who", ["options"] = new JsonArray("a", "b"), ["gold_label"] = 1 }.ToJsonString();
        TextTask task = new(new TextTaskSettings("quality", null, Write("cat", line), model.Transformer.Context - empty.Length, UseChat: false, TruncatePassage: true), model);
        Assert.Equal(empty, task.TestProblems(0, 1)[0].Prompt);
    }

    [Fact]
    public void A_line_of_QuALITYs_own_files_is_an_article_with_a_problem_for_each_question()
    {
        const string Article = """
            {"article_id": "1", "title": "t", "article": "a b c", "questions": [
            {"question": "who", "question_unique_id": "1_1", "options": ["a", "b", "c", "d"], "writer_label": 1, "gold_label": 3, "difficult": 0},
            {"question": "what", "options": ["d", "c"], "writer_label": 2, "gold_label": 1}]}
            """;
        Problem[] problems = Task("quality", test: [Article.ReplaceLineEndings("")]).TestProblems(0, 9);
        Problem[] flat = Task("quality", test: [
            """{"passage": "a b c", "question": "who", "options": ["a", "b", "c", "d"], "label": 3}""",
            """{"passage": "a b c", "question": "what", "options": ["d", "c"], "label": 1}"""]).TestProblems(0, 9);
        Assert.Equal(flat.Select(problem => problem.Prompt), problems.Select(problem => problem.Prompt));
        Assert.Equal([1f, 1f], [((TextProblem)problems[0]).Rule.Reward("\\boxed{C}", true), ((TextProblem)problems[1]).Rule.Reward("\\boxed{A}", true)]);
    }

    [Fact]
    public void One_file_is_split_by_what_is_asked_and_two_files_are_whole()
    {
        string[] lines = [.. Enumerable.Range(0, 300).Select(i => $"{{\"question\": \"{Letters(i)}\", \"answer\": \"#### {i}\"}}")];
        TextTask one = Task(new TextTaskSettings("gsm8k", Write("all", lines), null, 8)), shuffled = Task(new TextTaskSettings("gsm8k", Write("reversed", [.. lines.Reverse()]), null, 8));
        string[] test = Texts(one.TestProblems(0, 1000)), training = Training(one, 300 - test.Length);
        Assert.InRange(test.Length, 15, 50);
        Assert.Equal(300, test.Union(training).Count());
        Assert.Equal(test.Order(), Texts(shuffled.TestProblems(0, 1000)).Order());
        Assert.Equal(training[0], ((TextProblem)one.Problem(Split.PostTrain, 0, training.Length)).Text);   // over and over
        Assert.Equal(5, one.TestProblems(0, 5).Length);

        TextTask two = Task(new TextTaskSettings("gsm8k", Write("train", lines[..20]), Write("test", lines[20..40]), 8));
        Assert.Equal((20, 20), (two.TestProblems(0, 100).Length, Training(two, 20).Distinct().Count()));
        TextTask testOnly = Task(new TextTaskSettings("gsm8k", null, Write("test", lines[20..40]), 8));
        Assert.Equal(20, testOnly.TestProblems(0, 100).Length);
        Sentence.Assert(Assert.Throws<UserException>(() => testOnly.Problem(Split.PostTrain, 0, 0)).Message, "--data");
        TextTask trainOnly = Task(new TextTaskSettings("gsm8k", Write("one", [.. lines.Where((_, i) => !TextTask.IsHeldOut(Letters(i))).Take(2)]), null, 8));
        Sentence.Assert(Assert.Throws<UserException>(() => trainOnly.TestProblems(0, 1)).Message, "--test-data");

        static string Letters(int i) => string.Concat(i.ToString(System.Globalization.CultureInfo.InvariantCulture).Select(digit => (char)('a' + digit - '0')));
        static string[] Texts(Problem[] problems) => [.. problems.Select(problem => ((TextProblem)problem).Text)];
        static string[] Training(TextTask task, int count) => [.. Enumerable.Range(0, count).Select(i => ((TextProblem)task.Problem(Split.PostTrain, 0, i)).Text)];
    }

    [Theory]
    [InlineData("gsm8k", """{"question": "a", "answer": "5"}""", "####"), InlineData("gsm8k", """{"answer": "#### 5"}""", "no problem"), InlineData("gsm8k", """{"question": "a"}""", "answer")]
    [InlineData("math", """{"problem": "a", "solution": "5"}""", "boxed"), InlineData("math", """{"problem": 5, "answer": "5"}""", "problem"), InlineData("math", """{"problem": "a", "answer": " "}""", "empty")]
    [InlineData("math", """["a"]""", "object"), InlineData("quality", """{"article": "a", "question": "b", "options": ["c"], "label": 1}""", "options"), InlineData("math", "{", "JSON")]
    [InlineData("math", """{"problem": "a", "problem": "b", "answer": "5"}""", "(Duplicate property 'problem'")]
    [InlineData("quality", """{"article": "a", "question": "b", "options": ["c", "d"], "label": 3}""", "label"), InlineData("quality", """{"question": "b", "options": ["c", "d"], "label": 1}""", "article")]
    [InlineData("quality", """{"article": "a", "questions": []}""", "questions"), InlineData("quality", """{"article": "a", "questions": [1]}""", "question 1")]
    [InlineData("quality", """{"article": "a", "questions": [{"question": "b", "options": ["c", "d"], "gold_label": 1}, {"question": "b", "options": ["c", "d"]}]}""", "question 2: gold_label")]
    public void A_line_that_is_wrong_is_named(string name, string line, string part)
    {
        string good = name == "quality" ? """{"passage": "a", "question": "b", "options": ["c", "d"], "label": 1}""" : """{"question": "a", "answer": "#### 1"}""";
        UserException refused = Assert.Throws<UserException>(() => Task(name, test: [good, "", line]));
        Sentence.Assert(refused.Message, "test.jsonl, line 3", part);
    }

    [Fact]
    public void The_stored_data_sets_are_read_whole()
    {
        string math = Path.Combine(TestTokenizers.Shared("data", "math500"), "test.jsonl"), gsm8k = TestTokenizers.Shared("data", "gsm8k");
        foreach (string line in File.ReadLines(math))
        {
            JsonObject json = JsonNode.Parse(line)!.AsObject();
            Assert.Equal((string)json["prompt"]!, MathLine.Prompt((string)json["problem"]!, stepByStep: false));
        }
        TextTask task = Task(new TextTaskSettings("math", null, math, 8));
        Assert.Equal(500, task.TestProblems(0, 1000).Length);
        TextTask word = Task(new TextTaskSettings("gsm8k", Path.Combine(gsm8k, "train.jsonl"), Path.Combine(gsm8k, "test.jsonl"), 8));
        Assert.Equal(1319, word.TestProblems(0, 10_000).Length);
        Assert.Equal(1, ((TextProblem)word.Problem(Split.PostTrain, 0, 0)).Rule.Reward("\\boxed{72}", ended: true));
        TextTask split = Task(new TextTaskSettings("gsm8k", Path.Combine(gsm8k, "train.jsonl"), null, 8));
        Assert.InRange(split.TestProblems(0, 10_000).Length, 650, 850);
    }

    [Fact]
    public void Votes_of_a_text_task_are_its_answers()
    {
        TextTask task = Task(new TextTaskSettings(null, Write("rules", """{"prompt": "a", "rule": {"exact": "cat"}}"""), null, 8));
        Problem problem = task.TestProblems(0, 1)[0];
        int[] response = [.. _model.Tokenizer.Encode(" cat", special: false), 1];
        Assert.Equal(("cat", 1f), (task.Answer(problem, response), task.Reward(problem, response)));
        Assert.True(task.AreSame("0.5", "\\frac12") && !task.AreSame("1", "2"));
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
        _tiny.Dispose();
    }

    private TextTask Task(string name, string[] test) => Task(new TextTaskSettings(name, null, Write("test", test), 8));

    private TextTask Task(TextTaskSettings settings) => new(settings, _model);

    private string Write(string name, params string[] lines)
    {
        File.WriteAllText(_folder[name + ".jsonl"], string.Join('\n', lines));
        return _folder[name + ".jsonl"];
    }
}
