using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>The star-graph task: the paper's line, problems that can be made again, splits that share no graph.</summary>
public class StarGraphTaskTests
{
    private const ulong Key = 0x1234_5678_9abc_def0;

    public static TheoryData<int, int, int> Graphs() => new() { { 2, 2, 6 }, { 2, 3, 9 }, { 3, 4, 12 }, { 5, 5, 50 }, { 2, 20, 50 }, { 7, 2, 12 }, { 4, 3, 100 } };

    [Theory, MemberData(nameof(Graphs))]
    public void A_line_has_the_papers_form(int arms, int length, int labels)
    {
        StarGraphTask task = new(new StarGraphSettings(arms, length, labels));
        int edgeCount = arms * (length - 1);
        Assert.Equal(labels + 4, task.Vocabulary);
        Assert.Equal(3 * edgeCount + 3, task.PromptLimit);
        Assert.Equal(length, task.ResponseLimit);
        foreach (Split split in new[] { Split.Pretrain, Split.PostTrain })
            for (int index = 0; index < 40; index++)
            {
                Problem problem = task.Problem(split, Key, index);
                Assert.Equal(3 * edgeCount + 3, problem.Prompt.Length);
                Assert.Equal(length, problem.Answer.Length);
                Assert.All(problem.Prompt.Concat(problem.Answer), token => Assert.InRange(token, 0, task.Vocabulary - 1));

                // a b | c d | … / start goal =
                for (int e = 0; e < edgeCount; e++) Assert.Equal(e == edgeCount - 1 ? task.Slash : task.Bar, problem.Prompt[3 * e + 2]);
                Assert.Equal(task.EqualSign, problem.Prompt[^1]);
                (int From, int To)[] edges = Edges(problem.Prompt, edgeCount);
                int start = problem.Prompt[^3], goal = problem.Prompt[^2];
                Assert.Equal(problem.Answer[0], start);
                Assert.Contains(goal, problem.Answer.Skip(1));
                Assert.Equal(arms, edges.Count(edge => edge.From == start));
                Assert.DoesNotContain(start, edges.Select(edge => edge.To));

                // Every other node is entered once, and all nodes are different labels.
                Assert.Equal(edgeCount, edges.Select(edge => edge.To).Distinct().Count());
                Assert.All(edges.Where(edge => edge.From != start).GroupBy(edge => edge.From), group => Assert.Single(group));
                Assert.Equal(arms, edges.Select(edge => edge.To).Except(edges.Select(edge => edge.From)).Count());
                for (int i = 1; i < length; i++) Assert.Contains((problem.Answer[i - 1], problem.Answer[i]), edges);

                string form = string.Join('|', edges.Select(edge => $"{edge.From},{edge.To}")) + $"/{start},{goal}=";
                Assert.Equal(form, task.Text(problem.Prompt));
                Assert.Equal(form + string.Join(',', problem.Answer), task.Text([.. problem.Prompt, .. problem.Answer]));
            }
    }

    [Fact]
    public void A_problem_is_a_function_of_key_and_index()
    {
        StarGraphTask task = new(new StarGraphSettings(3, 4, 20)), again = new(new StarGraphSettings(3, 4, 20));
        foreach (Split split in Enum.GetValues<Split>())
        {
            string[] forwards = [.. Enumerable.Range(0, 200).Select(index => Line(task, task.Problem(split, Key, index)))];
            string[] backwards = [.. Enumerable.Range(0, 200).Reverse().Select(index => Line(again, again.Problem(split, Key, index)))];
            Assert.Equal(forwards, backwards.Reverse());
            Assert.Equal(200, forwards.Distinct().Count());
            Assert.Empty(forwards.Intersect(Enumerable.Range(0, 200).Select(index => Line(task, task.Problem(split, Key + 1, index)))));
        }
        Assert.Equal(Line(task, task.Problem(Split.Test, Key, 1L << 40)), Line(task, task.Problem(Split.Test, Key, 1L << 40)));
    }

    [Fact]
    public void Splits_share_no_graph()
    {
        // 9 labels, G(2,2): 252 graphs, so thousands of draws meet nearly all of them again and again.
        StarGraphTask task = new(new StarGraphSettings(2, 2, 9));
        Dictionary<string, Split> seen = [];
        foreach (Split split in Enum.GetValues<Split>())
            for (int index = 0; index < 6000; index++)
            {
                Problem problem = task.Problem(split, Key + (ulong)split, index);
                Assert.Equal(split, task.SplitOf(problem.Prompt));
                string graph = task.GraphKey(problem.Prompt);
                if (!seen.TryAdd(graph, split)) Assert.Equal(seen[graph], split);
            }
        Assert.Equal(252, seen.Count);
        Assert.All(Enum.GetValues<Split>(), split => Assert.Contains(split, seen.Values));
    }

    [Fact]
    public void A_tenth_of_the_graphs_is_held_out()
    {
        StarGraphTask task = new(new StarGraphSettings(2, 3, 40));
        int[] counts = new int[3];
        PhiloxStream random = new(5);
        int[] labels = [.. Enumerable.Range(0, 40)];
        for (int i = 0; i < 20_000; i++)
        {
            random.Shuffle<int>(labels);
            counts[(int)task.SplitOf([labels[0], labels[1], 40, labels[1], labels[2], 40, labels[0], labels[3], 40, labels[3], labels[4], 42, 0, 0, 41])]++;
        }
        Assert.InRange(counts[(int)Split.Test] / 20_000.0, 0.09, 0.11);
        Assert.InRange(counts[(int)Split.Pretrain] / 20_000.0, 0.435, 0.465);
    }

    [Theory, MemberData(nameof(Graphs))]
    public void Neither_the_order_of_edges_nor_the_goal_changes_the_split(int arms, int length, int labels)
    {
        StarGraphTask task = new(new StarGraphSettings(arms, length, labels));
        int edgeCount = arms * (length - 1);
        PhiloxStream random = new(7);
        foreach (Split split in Enum.GetValues<Split>())
            for (int index = 0; index < 30; index++)
            {
                int[] prompt = task.Problem(split, Key, index).Prompt;
                (int From, int To)[] edges = Edges(prompt, edgeCount);
                random.Shuffle<(int, int)>(edges);
                int[] other = [.. prompt];
                for (int e = 0; e < edgeCount; e++) (other[3 * e], other[3 * e + 1]) = edges[e];
                other[^2] = edges[random.NextInt(edgeCount)].To;
                Assert.Equal(task.GraphKey(prompt), task.GraphKey(other));
                Assert.Equal(split, task.SplitOf(other));
            }
    }

    [Fact]
    public void Test_problems_are_different_graphs_whose_goal_is_a_leaf()
    {
        StarGraphTask task = new(new StarGraphSettings(3, 4, 15, MixedGoals: 1));
        Problem[] problems = task.TestProblems(Key, 2000);
        Assert.Equal(2000, problems.Length);
        Assert.Equal(2000, problems.Select(problem => task.GraphKey(problem.Prompt)).Distinct().Count());
        Assert.All(problems, problem => Assert.Equal(problem.Answer[^1], problem.Prompt[^2]));
        Assert.All(problems, problem => Assert.Equal(Split.Test, task.SplitOf(problem.Prompt)));
        Assert.Equal(problems.Take(50).Select(problem => Line(task, problem)), task.TestProblems(Key, 50).Select(problem => Line(task, problem)));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.3f)]
    [InlineData(0.75f)]
    [InlineData(1f)]
    public void The_share_of_mixed_goals_is_as_set(float share)
    {
        // A mixed goal is any of the 4 nodes after the start alike, so it is the leaf in a quarter of them.
        StarGraphTask task = new(new StarGraphSettings(2, 5, 30, share));
        const int draws = 8000;
        int[] places = new int[5];
        for (int index = 0; index < draws; index++)
        {
            Problem problem = task.Problem(Split.PostTrain, Key, index);
            places[Array.IndexOf(problem.Answer, problem.Prompt[^2])]++;
        }
        Assert.Equal(0, places[0]);
        for (int place = 1; place <= 3; place++) Near(share / 4, places[place], draws);
        Near(1 - 0.75 * share, places[4], draws);
    }

    [Fact]
    public void The_right_arm_is_any_arm_alike()
    {
        // Among the arms in the order of the prompt's first edges, which is random, and in the order of the labels.
        const int arms = 4, draws = 8000;
        StarGraphTask task = new(new StarGraphSettings(arms, 3, 30));
        int[] byPrompt = new int[arms], byLabel = new int[arms];
        for (int index = 0; index < draws; index++)
        {
            Problem problem = task.Problem(Split.Pretrain, Key, index);
            List<int> first = [.. Edges(problem.Prompt, 2 * arms).Where(edge => edge.From == problem.Answer[0]).Select(edge => edge.To)];
            byPrompt[first.IndexOf(problem.Answer[1])]++;
            first.Sort();
            byLabel[first.IndexOf(problem.Answer[1])]++;
        }
        for (int arm = 0; arm < arms; arm++)
        {
            Near(1.0 / arms, byPrompt[arm], draws);
            Near(1.0 / arms, byLabel[arm], draws);
        }
    }

    [Fact]
    public void Only_the_whole_right_path_is_rewarded()
    {
        StarGraphTask task = new(new StarGraphSettings(2, 4, 20));
        for (int index = 0; index < 50; index++)
        {
            Problem problem = task.Problem(Split.PostTrain, Key, index);
            Assert.Equal(1, task.Reward(problem, problem.Answer));
            Assert.Equal(0, task.Reward(problem, OtherArm(problem, 6)));
            Assert.Equal(0, task.Reward(problem, problem.Answer.AsSpan(0, 3)));
            Assert.Equal(0, task.Reward(problem, [.. problem.Answer, 0]));
            Assert.Equal(0, task.Reward(problem, []));
            for (int i = 0; i < 4; i++)
            {
                int[] wrong = [.. problem.Answer];
                wrong[i] = (wrong[i] + 1) % task.Vocabulary;
                Assert.Equal(0, task.Reward(problem, wrong));
            }
        }
    }

    [Theory]
    [InlineData(1, 3, 9, "--graph 1,3")]
    [InlineData(2, 1, 9, "--graph 2,1")]
    [InlineData(0, 0, 0, "--graph 0,0")]
    [InlineData(2, 3, 4, "--labels 4")]
    [InlineData(2, 3, -1, "--labels -1")]
    public void Settings_that_make_no_graph_are_refused_in_one_sentence(int arms, int length, int labels, string option)
    {
        UserException refusal = Assert.Throws<UserException>(() => new StarGraphTask(new StarGraphSettings(arms, length, labels)));
        Sentence.Assert(refusal.Message, option);
    }

    [Fact]
    public void More_held_out_graphs_than_there_are_is_refused_in_one_sentence()
    {
        StarGraphTask task = new(new StarGraphSettings(2, 2, 9));
        UserException refusal = Assert.Throws<UserException>(() => task.TestProblems(Key, 253));
        Sentence.Assert(refusal.Message, "--test-graphs 253");
    }

    [Fact]
    public void A_split_without_graphs_is_refused_in_one_sentence()
    {
        // G(2,2) with 3 labels has 3 graphs, so most of the splits cannot have one each.
        StarGraphTask task = new(new StarGraphSettings(2, 2, 3));
        int refused = 0;
        foreach (Split split in Enum.GetValues<Split>())
        {
            try
            {
                Assert.Equal(split, task.SplitOf(task.Problem(split, Key, 0).Prompt));
            }
            catch (UserException refusal)
            {
                Sentence.Assert(refusal.Message, "--labels 3");
                refused++;
            }
        }
        Assert.InRange(refused, 1, 2);
    }

    [Fact]
    public void A_fingerprint_tells_tasks_apart()
    {
        StarGraphSettings[] settings = [new(2, 3, 9), new(3, 2, 9), new(2, 3, 10), new(2, 4, 9)];
        Assert.Equal(settings.Length, settings.Select(each => new StarGraphTask(each).Fingerprint).Distinct().Count());
    }

    private static string Line(StarGraphTask task, Problem problem) => task.Text([.. problem.Prompt, .. problem.Answer]);

    private static (int From, int To)[] Edges(int[] prompt, int count) => [.. Enumerable.Range(0, count).Select(e => (prompt[3 * e], prompt[3 * e + 1]))];

    /// <summary>The wrong arm of a graph with two, from its start to its leaf.</summary>
    private static int[] OtherArm(Problem problem, int edgeCount)
    {
        (int From, int To)[] edges = Edges(problem.Prompt, edgeCount);
        List<int> path = [problem.Answer[0], edges.Single(edge => edge.From == problem.Answer[0] && edge.To != problem.Answer[1]).To];
        while (path.Count < problem.Answer.Length) path.Add(edges.Single(edge => edge.From == path[^1]).To);
        return [.. path];
    }

    /// <summary>Within five standard deviations of a share.</summary>
    private static void Near(double share, int count, int draws)
    {
        double deviation = Math.Sqrt(draws * share * (1 - share));
        Assert.InRange(count, draws * share - 5 * deviation, draws * share + 5 * deviation);
    }
}
