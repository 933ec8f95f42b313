using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

public class ToolCallTests
{
    private const ulong Key = 11;

    private static readonly ToolCallTask Task = new();
    private static readonly Problem Sample = new([10, 4, 5, 3, 11, 1, 9, 2, 13], []);

    [Theory]
    [InlineData("a5!5", 5 / 9f), InlineData("a4b9!9", 1), InlineData("b1a4!4", 4 / 9f), InlineData("b0!0", 0)]
    [InlineData("b9!8", 0), InlineData("b9", 0), InlineData("!9", 0), InlineData("b9!", 0), InlineData("a4b9!4", 0), InlineData("a4a4a4", 0), InlineData("b9!99", 0)]
    public void The_reward_is_the_last_answer_if_it_is_reported(string response, float reward) =>
        Assert.Equal(reward, Task.Reward(Sample, [.. response.Select(c => "0123456789ab!=".IndexOf(c))]));

    [Fact]
    public void A_tool_answers_by_its_own_law_and_nobody_else_is_answered()
    {
        int count = 4000, high = 0;
        for (uint i = 0; i < count; i++)
        {
            PhiloxStream random = new(Key, (ulong)i << 10);
            int answer = Assert.Single(Task.Reply(Sample, [11], ref random));
            Assert.Contains(answer, (int[])[1, 9]);
            high += answer == 9 ? 1 : 0;
        }
        Assert.InRange(high / (double)count, 0.17, 0.23);
        PhiloxStream other = new(Key);
        foreach (int[] response in (int[][])[[12], [10, 4, 12], [10, 4, 12, 4], [3], [10, 4, 10, 4, 10]]) Assert.Empty(Task.Reply(Sample, response, ref other));
    }

    [Fact]
    public void Splits_share_no_prompt_and_the_teacher_answers_as_the_task_asks()
    {
        Dictionary<string, Split> splits = [];
        double rewards = 0;
        foreach (Split split in Enum.GetValues<Split>())
        {
            for (int i = 0; i < 300; i++)
            {
                Problem problem = Task.Problem(split, Key, i);
                Assert.Equal(split, splits.GetValueOrDefault(Task.Text(problem.Prompt), split));
                splits[Task.Text(problem.Prompt)] = split;
                if (split != Split.Pretrain) continue;
                rewards += Task.Reward(problem, problem.Answer) > 0 ? 1 : 0;
                for (int t = 0; t < problem.Answer.Length; t++)
                    Assert.Equal(problem.Replies![t], t > 0 && ToolCallTask.State(problem.Answer.AsSpan(0, t)).Turn == ToolCallTask.Turn.Answer);
            }
        }
        Assert.InRange(rewards / 300, 0.75, 0.95);   // nine in ten, but for answers of 0
        Assert.Equal(50, Task.TestProblems(Key, 50).Select(problem => Task.Text(problem.Prompt)).Distinct().Count());
        Assert.Contains("--test-problems", Assert.Throws<UserException>(() => Task.TestProblems(Key, 3_000)).Message);
    }
}
