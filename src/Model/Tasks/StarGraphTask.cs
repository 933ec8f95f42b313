using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Settings of the star-graph task G(d, l).</summary>
/// <param name="Arms">d, at least 2.</param>
/// <param name="PathLength">l: nodes on a path, the start included; at least 2.</param>
/// <param name="Labels">How many node labels there are; a graph uses 1 + d(l − 1) different ones.</param>
/// <param name="MixedGoals">
/// Share of training prompts whose goal is a random node of the right arm instead of its leaf. The right path is the whole
/// arm all the same. A curriculum over hops (see docs/star-graph.md); test prompts always name the leaf.
/// </param>
public sealed record StarGraphSettings(int Arms, int PathLength, int Labels, float MixedGoals = 0.75f)
{
    public int Nodes => 1 + Arms * (PathLength - 1);

    /// <exception cref="UserException">The settings make no graph.</exception>
    public StarGraphSettings Validated()
    {
        if (Arms < 2) throw new UserException($"--graph {Arms},{PathLength}: a star graph needs at least 2 arms; say D,L with D ≥ 2, for example --graph 2,3.");
        if (PathLength < 2) throw new UserException($"--graph {Arms},{PathLength}: a path needs at least 2 nodes; say D,L with L ≥ 2, for example --graph 2,3.");
        if (Labels < Nodes) throw new UserException($"--labels {Labels}: G({Arms},{PathLength}) has {Nodes} different nodes; give at least as many labels.");
        return this;
    }
}

/// <summary>
/// The star-graph task of Bachmann and Nagarajan (2024) as the Q♯ paper uses it, in numeral tokens: d arms leave a start
/// node, one of them ends in the goal, and the model must say the path from start to goal. The first step needs the whole
/// graph; the rest only follows edges, so a next-token learner finds a shortcut and picks an arm at random.
/// <para>Tokens: labels 0 … N−1, then <c>|</c>, <c>=</c>, <c>/</c>, <c>$</c>. A line is <c>a b | c d | … / start goal = start n1 … goal</c>,
/// the edges in random order. Exactly l tokens answer it; there is no end token.</para>
/// </summary>
public sealed class StarGraphTask : ITask
{
    // Hash buckets of the splits: a tenth of all graphs is held out, the rest is halved.
    private const uint Buckets = 20, TestBuckets = 2, PostTrainBuckets = 9;

    /// <summary>Draws after which a split is taken to be empty, which only a handful of graphs can bring about.</summary>
    private const int LargestSearch = 10_000;

    private readonly StarGraphSettings _settings;

    public StarGraphTask(StarGraphSettings settings)
    {
        _settings = settings.Validated();
    }

    /// <summary>Name and settings in one line; models and data sets of another vocabulary or graph are refused by it.</summary>
    public string Fingerprint => $"star-graph({_settings.Arms},{_settings.PathLength}),labels={_settings.Labels}";

    public string Settings => FormattableString.Invariant($"{Fingerprint}, mixed goals {_settings.MixedGoals}");

    public string Source => Fingerprint;

    public bool IsText => false;

    /// <summary>None: every answer has the same length.</summary>
    public IReadOnlyList<int> Stops => [];

    public int Vocabulary => _settings.Labels + 4;

    /// <summary>Tokens of every prompt: 3 an edge and 3 for <c>start goal =</c> less the last bar, plus the slash.</summary>
    public int PromptLimit => 3 * _settings.Arms * (_settings.PathLength - 1) + 3;

    /// <summary>Tokens of every answer.</summary>
    public int ResponseLimit => _settings.PathLength;

    public int Bar => _settings.Labels;

    public int EqualSign => _settings.Labels + 1;

    public int Slash => _settings.Labels + 2;

    /// <summary>
    /// Problem <paramref name="index"/> of a split: a pure function of (key, index), so that any batch can be made again.
    /// </summary>
    /// <exception cref="UserException">There are so few graphs that none of them falls in the split.</exception>
    public Problem Problem(Split split, ulong key, long index)
    {
        // Each problem owns 2²⁰ words of the stream, enough for thousands of rejected draws.
        PhiloxStream random = new(key, (ulong)index << 20);
        for (int draw = 0; draw < LargestSearch; draw++)
        {
            (int[] labels, (int From, int To)[] edges) = Draw(ref random);
            if (SplitOf(edges) != split) continue;
            return Write(labels, edges, split == Split.Test, ref random);
        }
        throw new UserException($"--labels {_settings.Labels}: G({_settings.Arms},{_settings.PathLength}) has too few different graphs to fill the split {split}; raise --labels.");
    }

    /// <summary>The first <paramref name="count"/> test problems whose graphs are all different.</summary>
    /// <exception cref="UserException">The task does not have that many held-out graphs.</exception>
    public Problem[] TestProblems(ulong key, int count)
    {
        HashSet<string> seen = [];
        List<Problem> problems = [];
        long found = 0;   // index of the last one that was new
        for (long index = 0; problems.Count < count; index++)
        {
            if (index - found > 10_000 + 10L * problems.Count)
                throw new UserException($"--test-graphs {count}: with {_settings.Labels} labels only {problems.Count} different held-out graphs were found; ask for fewer or raise --labels.");
            Problem problem = Problem(Split.Test, key, index);
            if (!seen.Add(GraphKey(problem.Prompt))) continue;
            problems.Add(problem);
            found = index;
        }
        return [.. problems];
    }

    /// <summary>1 if the response is the whole right path, else 0.</summary>
    public float Reward(Problem problem, ReadOnlySpan<int> response) => response.SequenceEqual(problem.Answer) ? 1 : 0;

    public string Answer(Problem problem, ReadOnlySpan<int> response) => Text(response);

    public bool AreSame(string representative, string answer) => representative == answer;

    /// <summary>The graph of a prompt as text that is the same for every order of its edges and every goal.</summary>
    public string GraphKey(ReadOnlySpan<int> prompt)
    {
        List<(int From, int To)> edges = Edges(prompt);
        edges.Sort();
        return string.Join('|', edges.Select(edge => $"{edge.From},{edge.To}"));
    }

    /// <summary>The split that a prompt's graph belongs to.</summary>
    public Split SplitOf(ReadOnlySpan<int> prompt) => SplitOf(Edges(prompt).ToArray());

    /// <summary>A line as the paper writes it, for people: <c>3,1|1,7/3,7=3,1,7</c>.</summary>
    public string Text(ReadOnlySpan<int> tokens)
    {
        System.Text.StringBuilder text = new();
        bool afterLabel = false;
        foreach (int token in tokens)
        {
            bool label = token < _settings.Labels;
            if (label && afterLabel) text.Append(',');
            if (label) text.Append(token);
            else text.Append("|=/$"[token - _settings.Labels]);
            afterLabel = label;
        }
        return text.ToString();
    }

    private List<(int From, int To)> Edges(ReadOnlySpan<int> prompt)
    {
        int count = _settings.Arms * (_settings.PathLength - 1);
        List<(int, int)> edges = new(count);
        for (int e = 0; e < count; e++) edges.Add((prompt[3 * e], prompt[3 * e + 1]));
        return edges;
    }

    /// <summary>Labels of the start and of the arms in turn, and the edges in random order.</summary>
    private (int[] Labels, (int From, int To)[] Edges) Draw(ref PhiloxStream random)
    {
        int[] labels = new int[_settings.Labels];
        for (int i = 0; i < labels.Length; i++) labels[i] = i;
        random.Shuffle<int>(labels);
        int steps = _settings.PathLength - 1;
        (int, int)[] edges = new (int, int)[_settings.Arms * steps];
        for (int arm = 0; arm < _settings.Arms; arm++)
            for (int step = 0; step < steps; step++)
                edges[arm * steps + step] = (step == 0 ? labels[0] : labels[Node(arm, step - 1)], labels[Node(arm, step)]);
        random.Shuffle<(int, int)>(edges);
        return (labels, edges);
    }

    private Problem Write(int[] labels, (int From, int To)[] edges, bool isTest, ref PhiloxStream random)
    {
        int steps = _settings.PathLength - 1;
        int arm = random.NextInt(_settings.Arms);
        bool mixed = !isTest && random.NextUniform() < _settings.MixedGoals;
        int goal = labels[Node(arm, mixed ? random.NextInt(steps) : steps - 1)];
        int[] prompt = new int[PromptLimit];
        int at = 0;
        for (int e = 0; e < edges.Length; e++)
        {
            if (e > 0) prompt[at++] = Bar;
            prompt[at++] = edges[e].From;
            prompt[at++] = edges[e].To;
        }
        prompt[at++] = Slash;
        prompt[at++] = labels[0];
        prompt[at++] = goal;
        prompt[at] = EqualSign;
        int[] path = new int[_settings.PathLength];
        path[0] = labels[0];
        for (int step = 0; step < steps; step++) path[step + 1] = labels[Node(arm, step)];
        return new Problem(prompt, path);
    }

    private int Node(int arm, int step) => 1 + arm * (_settings.PathLength - 1) + step;

    /// <summary>By a hash of the set of edges: the same graph in another order, or with another goal, falls in the same split.</summary>
    private static Split SplitOf((int From, int To)[] edges)
    {
        uint sum = 0, xor = 0;   // order-free combination of well-mixed words
        foreach ((int from, int to) in edges)
        {
            (uint word, uint other, _, _) = Philox.Block(0x5147_5241_5048, (uint)from, (uint)to, 0, 0);
            sum += word;
            xor ^= other;
        }
        uint bucket = Philox.Block(0x5147_5241_5048, sum, xor, 1, 0).X0 % Buckets;
        if (bucket < TestBuckets) return Split.Test;
        return bucket < TestBuckets + PostTrainBuckets ? Split.PostTrain : Split.Pretrain;
    }
}
