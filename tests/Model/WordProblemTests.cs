using QSharp.Model;
using QSharp.Tests.Cli;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>The built-in word problems: right answers, and no held-out sum among those that are trained on.</summary>
public sealed class WordProblemTests : IDisposable
{
    private readonly TinyTextModel _folder = new();
    private readonly ModelFiles _model;
    private readonly WordProblemTask _task;

    public WordProblemTests()
    {
        _model = ModelFiles.Open(_folder.Path);
        _task = new WordProblemTask(_model, 16);
    }

    [Fact]
    public void No_held_out_sum_is_trained_on_and_every_prompt_fits()
    {
        WordProblem[] training = [.. Enumerable.Range(0, 4000).Select(i => (WordProblem)_task.Problem(Split.PostTrain, 3, i))];
        WordProblem[] test = [.. _task.TestProblems(4, 512).Cast<WordProblem>()];
        Assert.Equal(512, test.Select(problem => problem.Text).Distinct().Count());
        Assert.Empty(training.Select(Sum).Intersect(test.Select(Sum)));
        Assert.All(training.Concat(test), problem => Assert.True(problem.Prompt.Length <= _task.PromptLimit));
        Assert.True(training.Select(Sum).Distinct().Count() > 90);
        Assert.True(test.Select(Sum).Distinct().Count() > 20);
    }

    /// <summary>Some names are two tokens at the beginning of the text and one behind a space.</summary>
    [Fact]
    public void Every_prompt_of_a_real_chat_model_fits_and_the_longest_one_fills_the_limit()
    {
        using ModelFiles model = ModelFiles.Open(TestTokenizers.Shared("models", "smollm2-135m-instruct"));
        WordProblemTask task = new(model, 48);
        Problem[] test = task.TestProblems(4, int.MaxValue);
        Assert.True(test.Length > 1000);
        Assert.Equal(task.PromptLimit, test.Max(problem => problem.Prompt.Length));
    }

    [Fact]
    public void The_right_answer_follows_from_the_text()
    {
        for (int i = 0; i < 500; i++)
        {
            WordProblem problem = (WordProblem)_task.Problem(Split.PostTrain, 3, i);
            string[] words = problem.Text.Split(' ');
            int a = int.Parse(words[2], null), b = int.Parse(words.Skip(3).First(word => char.IsDigit(word[0])), null);
            Assert.Equal(words.Contains("gives") ? a - b : a + b, problem.Result);
        }
    }

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    private static string Sum(WordProblem problem) =>
        string.Join(' ', problem.Text.Split(' ').Where(word => char.IsDigit(word[0]))) + (problem.Text.Contains("gives away", StringComparison.Ordinal) ? " -" : " +");
}
