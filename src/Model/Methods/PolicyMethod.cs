namespace QSharp.Model;

/// <summary>
/// A way to train a policy. Every such loss L is a function of the log-probabilities of the tokens taken, so its gradient at
/// the head is that of a cross-entropy in which token t has the weight −∂L/∂ln π_t. A method computes these weights on the
/// host, before the step; the step itself, one recorded graph, is the same for all methods.
/// </summary>
public abstract class PolicyMethod
{
    /// <summary>Whether <see cref="PolicyBatch.LogPolicy"/> and <see cref="PolicyBatch.LogSampled"/> are wanted: a forward pass more.</summary>
    public virtual bool ReadsPolicy => false;

    /// <summary>Whether <see cref="PolicyBatch.LogReference"/> is wanted: a forward pass of π_ref.</summary>
    public virtual bool ReadsReference => false;

    /// <summary>Whether a critic learns beside the policy, for <see cref="PolicyBatch.Values"/>.</summary>
    public virtual bool HasCritic => false;

    /// <summary>Writes <see cref="PolicyBatch.Weights"/>.</summary>
    /// <returns>The loss of the batch; NaN where log-probabilities are not read: then it is the weighted cross-entropy itself.</returns>
    public abstract double Weigh(PolicyBatch batch);

    /// <summary>ln σ(x).</summary>
    private protected static double LogSigmoid(double x) => Math.Min(x, 0) - Math.Log(1 + Math.Exp(-Math.Abs(x)));
}

/// <summary>What a policy method sees of a batch: M losses, one a response token, those of a row beside one another.</summary>
/// <param name="capacity">M.</param>
public sealed class PolicyBatch(int rows, int capacity)
{
    public int Rows => rows;

    /// <summary>Whether the samples are new; else the step is a later one on the same samples.</summary>
    public bool IsFresh { get; set; }

    /// <summary>Of each row, the index of its first loss and how many it has.</summary>
    public (int Start, int Count)[] Losses { get; } = new (int, int)[rows];

    public float[] Rewards { get; } = new float[rows];

    /// <summary>[M]: ln π of the token under the policy as it is.</summary>
    public float[] LogPolicy { get; } = new float[capacity];

    /// <summary>[M]: ln π under the policy that drew the samples.</summary>
    public float[] LogSampled { get; } = new float[capacity];

    /// <summary>[M]: ln π_ref.</summary>
    public float[] LogReference { get; } = new float[capacity];

    /// <summary>[M]: the critic's value of the text before the token, from before it learned from this batch.</summary>
    public float[] Values { get; } = new float[capacity];

    /// <summary>[M]: what the critic's values should have been.</summary>
    public float[] Returns { get; } = new float[capacity];

    /// <summary>[M]: kept from a fresh batch's step to later ones.</summary>
    public float[] Advantages { get; } = new float[capacity];

    /// <summary>[M]: −∂L/∂ln π of each token.</summary>
    public float[] Weights { get; } = new float[capacity];

    /// <summary>Σ ln(π_sampled/π_ref) over a row.</summary>
    public double LogRatio(int row) => Sum(LogSampled, row) - Sum(LogReference, row);

    public double Sum(float[] values, int row)
    {
        double sum = 0;
        (int start, int count) = Losses[row];
        for (int m = start; m < start + count; m++) sum += values[m];
        return sum;
    }

    /// <summary>Gives all tokens of a row one weight.</summary>
    public void SetWeights(int row, double weight) => Weights.AsSpan(Losses[row].Start, Losses[row].Count).Fill((float)weight);
}
