using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>
/// A tree small enough to enumerate: one prompt of one token, <paramref name="depth"/> tokens of <paramref name="width"/>, and
/// a reward for each leaf. With <paramref name="rightShare"/> a problem's answer is one of the first two leaves at random.
/// </summary>
internal sealed class TreeTask(int width, int depth, Func<int, double> reward, double rightShare = 1) : ITask
{
    public string Fingerprint => "tree";

    public string Settings => "tree";

    public string Source => Fingerprint;

    public bool IsText => false;

    public int Vocabulary => width;

    public IReadOnlyList<int> Stops => [];

    public int PromptLimit => 1;

    public int ResponseLimit => depth;

    public int Leaves => (int)Math.Pow(width, depth);

    /// <summary>Tokens of a leaf.</summary>
    public int[] Path(int leaf)
    {
        int[] path = new int[depth];
        for (int t = depth - 1; t >= 0; t--, leaf /= width) path[t] = leaf % width;
        return path;
    }

    public double RewardOf(int leaf) => reward(leaf);

    public Problem Problem(Split split, ulong key, long index)
    {
        bool isFirst = QSharp.Engine.Philox.Uniform(QSharp.Engine.Philox.Block(key, (uint)index, 7, 0, 0).X0) < rightShare;
        return new Problem([0], Path(isFirst ? 0 : 1));
    }

    public Problem[] TestProblems(ulong key, int count) => [Problem(Split.Test, key, 0)];

    public string Text(ReadOnlySpan<int> tokens) => string.Join(' ', tokens.ToArray());

    public string Answer(Problem problem, ReadOnlySpan<int> response) => string.Join(' ', response.ToArray());

    public bool AreSame(string representative, string answer) => representative == answer;

    public float Reward(Problem problem, ReadOnlySpan<int> response)
    {
        int leaf = 0;
        foreach (int token in response) leaf = leaf * width + token;
        return (float)reward(leaf);
    }
}
