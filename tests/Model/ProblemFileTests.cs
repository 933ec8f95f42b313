using QSharp.Engine;
using QSharp.Model;
using QSharp.Tests.Cli;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Text tasks from files as users have them: layouts, gold answers, rewards, splits, and what is said of wrong lines.</summary>
public sealed class ProblemFileTests : IDisposable
{
    private readonly TinyTextModel _folder = new();
    private readonly ModelFiles _model;

    public ProblemFileTests() => _model = ModelFiles.Open(_folder.Path);

    [Theory]
    [InlineData("gsm8k", """{"question":"two and two","answer":"2+2=<<2+2=4>>4\n#### 1,234"}""", "so \\boxed{1234}", "so \\boxed{1235}")]
    [InlineData("math", """{"problem":"half","solution":"it is \\boxed{1} no, \\boxed{\\frac{1}{2}}."}""", "\\boxed{0.5}", "0.5")]
    [InlineData("math", """{"problem":"half","answer":"\\frac12","level":"Level 1","subject":"Algebra","unique_id":"x"}""", "\\boxed{1/2}", "\\boxed{1/3}")]
    [InlineData("math", """{"problem":"p","solution":"\\boxed{(1,2)}","category":"c","difficulty":1,"prompt":"q"}""", "\\boxed{(1, 2)}", "\\boxed{(2,1)}")]
    [InlineData("quality", """{"article":"a cat","question":"who","options":["dog","cat"],"gold_label":2}""", "it is (B)", "\\boxed{A}")]
    [InlineData("quality", """{"passage":"a cat","question":"who","options":["dog","cat"],"label":1}""", "A", "B")]
    [InlineData(null, """{"prompt":"say","rule":{"exact":"a cat"}}""", " a cat ", "a  cat")]
    [InlineData(null, """{"prompt":"say","rule":{"number":7}}""", "first 3, then 7.", "7, then 8")]
    [InlineData(null, """{"prompt":"say","rule":{"choice":"C"}}""", "The answer is C.", "C or D")]
    [InlineData(null, """{"prompt":"say","rule":{"matches":"^a+b$"}}""", "aab", "aabb")]
    [InlineData(null, """{"messages":[{"role":"user","content":"hi"}],"rule":{"math":"x=5"}}""", "\\boxed{5}", "\\boxed{6}")]
    public void A_layouts_gold_answer_judges_responses(string? name, string line, string right, string wrong)
    {
        TextProblem problem = Assert.Single(Read(name, line));
        Assert.NotEmpty(problem.Prompt);
        Assert.Equal(1, problem.Rule.Reward(right, ended: true));
        Assert.Equal(0, problem.Rule.Reward(wrong, ended: true));
        Assert.Equal(0, problem.Rule.Reward("", ended: true));
    }

    [Theory]
    [InlineData("gsm8k", """{"answer":"#### 4"}""", "line 1", "question")]
    [InlineData("gsm8k", """{"question":"q","answer":"4"}""", "line 1", "####")]
    [InlineData("math", """{"problem":"p","solution":"4"}""", "line 1", "\\boxed")]
    [InlineData("math", """{"problem":"p"}""", "line 1", "answer")]
    [InlineData("math", "[1]", "line 1", "JSON object")]
    [InlineData("quality", """{"article":"a","question":"q","options":["x","y"],"gold_label":3}""", "line 1", "gold_label is 3")]
    [InlineData("quality", """{"article":"a","question":"q","options":"x","gold_label":1}""", "line 1", "options")]
    [InlineData(null, """{"prompt":"p","rule":{"exactly":"x"}}""", "line 1", "exactly")]
    [InlineData(null, """{"prompt":"p","rule":{"choice":"ab"}}""", "line 1", "choice")]
    [InlineData(null, """{"prompt":"p","rule":{"timeout":3}}""", "line 1", "no condition")]
    [InlineData(null, """{"rule":{"exact":"x"}}""", "line 1", "prompt")]
    [InlineData(null, "", "", "no problem")]
    public void A_wrong_line_is_one_sentence_with_its_place(string? name, string line, string where, string what)
    {
        string message = Assert.Throws<UserException>(() => Read(name, line)).Message;
        Assert.Contains(where, message);
        Assert.Contains(what, message);
    }

    [Fact]
    public void A_single_file_is_split_by_what_is_asked_whatever_the_order()
    {
        string[] lines = [.. Enumerable.Range(0, 300).Select(i => $$"""{"question":"cat {{i}}","answer":"#### {{i}}"}""")];
        TextTask task = Task("gsm8k", lines), reversed = Task("gsm8k", [.. lines.Reverse()]);
        string[] test = Texts(task.TestProblems(1, 1000)), train = Texts([.. Enumerable.Range(0, 300 - test.Length).Select(i => task.Problem(Split.PostTrain, 1, i))]);
        Assert.InRange(test.Length, 10, 60);
        Assert.Empty(test.Intersect(train));
        Assert.Equal(300, test.Concat(train).Distinct().Count());
        Assert.Equal(test.Order(), Texts(reversed.TestProblems(1, 1000)).Order());
    }

    [Fact]
    public void The_papers_prompt_goes_through_the_chat_template_with_one_bos()
    {
        TextProblem chat = Assert.Single(Read("gsm8k", """{"question":"cat","answer":"#### 1"}"""));
        Assert.Equal(1, chat.Prompt.Count(id => id == 0));
        Assert.Contains("Let's think step by step. Write your answer inside \\boxed{}.", MathLine.Prompt("cat", stepByStep: true));
        Assert.Equal("Problem:\n\ncat Write your answer inside \\boxed{}.\n\nSolution:", MathLine.Prompt("cat", stepByStep: false));
    }

    [Fact]
    public void A_passage_too_long_for_the_context_is_refused_or_cut_from_the_left()
    {
        string line = $$"""{"article":"{{string.Join(' ', Enumerable.Repeat("dog", 60))}} cat","question":"q","options":["x","y"],"gold_label":1}""";
        Assert.Contains("--truncate-passage", Assert.Throws<UserException>(() => Read("quality", line)).Message);
        string path = Write(line);
        TextProblem cut = Assert.Single(ProblemFile.Read(path, new TextTaskSettings("quality", path, null, 8, TruncatePassage: true), _model).Problems);
        Assert.InRange(cut.Prompt.Length, 1, _model.Transformer.Context - 8);
        Assert.Contains("cat", _model.Tokenizer.Decode(cut.Prompt));
    }

    [Theory]
    [InlineData("read r; echo 0.25", 0.25f, null)]
    [InlineData("cat >/dev/null; echo 2", 0, "'2'")]
    [InlineData("cat >/dev/null; exit 3", 0, "exit code 3")]
    [InlineData("sleep 20", 0, "longer than")]
    public void A_command_judges_or_is_refused(string script, float reward, string? problem)
    {
        TextRule rule = Assert.Single(Read(null, "{\"prompt\":\"p\",\"rule\":{\"command\":[\"sh\",\"-c\",\"" + script + "\"],\"timeout\":2}}")).Rule;
        if (problem is null) Assert.Equal(reward, rule.Reward("a response\n", ended: true));
        else Assert.Contains(problem, Assert.Throws<UserException>(() => rule.Reward("a response\n", ended: true)).Message);
    }

    [Fact]
    public void Whole_files_of_GSM8K_and_MATH_are_read()
    {
        string shared = Path.Combine(Repository.Root, "..", "shared"), data = Path.Combine(shared, "data");
        Assert.SkipUnless(Directory.Exists(data), "../shared/data is absent.");
        foreach ((string name, string path, int count) in (ReadOnlySpan<(string, string, int)>)[("gsm8k", "gsm8k/test.jsonl", 1319), ("math", "math500/test.jsonl", 500)])
        {
            string file = Path.Combine(data, path);
            TextProblem[] problems = ProblemFile.Read(file, new TextTaskSettings(name, null, file, 64, UseChat: false), _model).Problems;
            Assert.Equal(count, problems.Length);
        }
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    private TextProblem[] Read(string? name, string line)
    {
        string path = Write(line);
        return ProblemFile.Read(path, new TextTaskSettings(name, path, null, 8), _model).Problems;
    }

    private TextTask Task(string name, string[] lines) => new(new TextTaskSettings(name, Write(lines), null, 8), _model);

    private string Write(params string[] lines)
    {
        string path = _folder[Path.GetRandomFileName() + ".jsonl"];
        File.WriteAllLines(path, lines);
        return path;
    }

    private static string[] Texts(Problem[] problems) => [.. problems.Select(problem => ((TextProblem)problem).Text)];
}
