using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Tests.Kernels;

/// <summary>
/// A tree of the method notes (§9): tokens of any law at each inner node, rewards that are atoms of a family at the leaves; all
/// that is exact about it in float64. Its policies come from the ops alone.
/// </summary>
/// <param name="q">π_ref at each inner node, in the order of levels; a node's children follow one another.</param>
/// <param name="rewards">Index of each leaf's atom.</param>
internal sealed class RewardTree(int width, double[][] q, int[] rewards, ReturnFamily family)
{
    public int Inner => q.Length;

    public int Leaves => rewards.Length;

    public ReturnFamily Family => family;

    public static RewardTree Random(int width, int depth, ReturnFamily family, ulong seed)
    {
        PhiloxStream random = new(seed);
        int leaves = (int)Math.Pow(width, depth), inner = (leaves - 1) / (width - 1);
        double[][] laws = new double[inner][];
        for (int node = 0; node < inner; node++)
        {
            laws[node] = new double[width];
            for (int c = 0; c < width; c++) laws[node][c] = -Math.Log(1 - random.NextUniform() + 1e-9);
            double sum = laws[node].Sum();
            for (int c = 0; c < width; c++) laws[node][c] /= sum;   // Dirichlet(1, …)
        }
        int[] atoms = new int[leaves];
        for (int leaf = 0; leaf < leaves; leaf++) atoms[leaf] = random.NextInt(family.Atoms);
        return new RewardTree(width, laws, atoms, family);
    }

    public double Reward(int leaf) => family.Return(rewards[leaf]);

    public double[] Reference(int node) => q[node];

    /// <summary>Z at a node: a probability for each atom.</summary>
    public double[] Law(int node)
    {
        double[] law = new double[family.Atoms];
        if (node >= Inner) law[rewards[node - Inner]] = 1;
        else
            for (int c = 0; c < width; c++)
                foreach ((int i, double p) in Law(Child(node, c)).Index()) law[i] += q[node][c] * p;
        return law;
    }

    /// <summary>ln E[e^h].</summary>
    public static double LogMean(double[] law, double[] h) => SamplingOracle.LogSumExp(law.Zip(h, (p, each) => p > 0 ? Math.Log(p) + each : double.NegativeInfinity));

    /// <summary>ln π(leaf) of a policy that says ln π at each inner node.</summary>
    public double[] OfLeaves(Func<int, int, double> logPolicy) => [.. Enumerable.Range(0, Leaves).Select(leaf =>
    {
        double sum = 0;
        for (int node = Inner + leaf; node > 0; node = (node - 1) / width) sum += logPolicy((node - 1) / width, (node - 1) % width);
        return sum;
    })];

    public double[] OfLeaves() => OfLeaves((node, c) => Math.Log(q[node][c]));

    /// <summary>One row for each inner node, with exact logits; all tokens are candidates, or all but the last.</summary>
    /// <param name="noise">Standard deviation of what is added to the guide's logits.</param>
    public DecodingRig Rig(GuidanceRule rule, int candidates, double[]? h = null, double noise = 0)
    {
        DecodingRig rig = new(Inner, width, candidates, family);
        PhiloxStream random = new(99);
        double[] weights = h ?? [.. Enumerable.Range(0, family.Atoms).Select(i => (double)rule.Lambda * family.Return(i))];
        for (int node = 0; node < Inner; node++)
        {
            for (int c = 0; c < width; c++) rig.Logits.Slice(node).Span<float>()[c] = (float)Math.Log(q[node][c]);
            for (int c = 0; c < candidates; c++)
            {
                rig.Candidates.Slice(node).Span<int>()[c] = c;
                double[] law = Law(Child(node, c));
                for (int i = 0; i < family.Atoms; i++)
                    rig.ValueLogits.Slice(node).Slice(c).Span<float>()[i] = law[i] > 0 || noise > 0
                        ? (float)(Math.Log(Math.Max(law[i], 1e-3 * Math.Sign(noise))) + noise * random.NextNormal())
                        : float.NegativeInfinity;
            }
            double prefix = rule.Tilt == Tilt.Mean ? rule.Lambda * Mean(Law(node)) : LogMean(Law(node), weights);
            rig.Prefix.Span<float>()[node] = (float)prefix;
            for (int i = 0; i < family.Atoms; i++) rig.Weights.Slice(node).Span<float>()[i] = (float)weights[i];
        }
        return rig;
    }

    private double Mean(double[] law) => law.Select((p, i) => p * family.Return(i)).Sum();

    /// <summary>ln π of every leaf by the naive chain of ops.</summary>
    public double[] Policy(DecodingRig rig, GuidanceRule rule)
    {
        rig.Naive(rule);
        float[] logs = rig.LogPolicy.Span<float>().ToArray();
        return OfLeaves((node, c) => logs[node * width + c]);
    }

    /// <summary>E[R] and KL from π_ref of a law of the leaves.</summary>
    public (double Reward, double Kl) Score(double[] logPolicy)
    {
        double[] reference = OfLeaves();
        double reward = 0, kl = 0;
        for (int leaf = 0; leaf < Leaves; leaf++)
        {
            double p = Math.Exp(logPolicy[leaf]);
            reward += p * Reward(leaf);
            if (p > 0) kl += p * (logPolicy[leaf] - reference[leaf]);
        }
        return (reward, kl);
    }

    private int Child(int node, int c) => width * node + 1 + c;
}
