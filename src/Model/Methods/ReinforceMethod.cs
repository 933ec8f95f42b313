namespace QSharp.Model;

/// <summary>What is taken from a response's reward, so that the gradient varies less.</summary>
public enum Baseline
{
    /// <summary>The batch's mean.</summary>
    BatchMean,

    /// <summary>The mean of the other samples of the same prompt: RLOO (Kool et al. 2019, Ahmadian et al. 2024).</summary>
    LeaveOneOut,

    /// <summary>None, but a right response is worth 1 and a wrong one −0.1: the star-graph text of the Q♯ paper.</summary>
    PlusMinus,
}

/// <summary>
/// REINFORCE and RLOO: L = −1/B Σ_b A_b Σ_t ln π(y_t|x_t), with A = R̃ − baseline and R̃ = R − β Σ_t ln(π/π_ref)(y_t), which
/// bears no gradient (method notes §4.3). Its optimum is π* ∝ π_ref · exp(R/β); without β, all mass on the best response.
/// </summary>
/// <param name="samples">Of each prompt, neighbours in a batch; at least 2 for <see cref="Baseline.LeaveOneOut"/>.</param>
/// <param name="beta">Price of a nat of KL to π_ref.</param>
public sealed class ReinforceMethod(Baseline baseline, int samples, float beta) : PolicyMethod
{
    public override bool ReadsPolicy => beta > 0;

    public override bool ReadsReference => beta > 0;

    public override double Weigh(PolicyBatch batch)
    {
        double[] rewards = [.. batch.Rewards.Select((reward, row) => reward - (beta > 0 ? beta * batch.LogRatio(row) : 0))];
        double mean = rewards.Average(), loss = 0;
        for (int row = 0; row < batch.Rows; row++)
        {
            double advantage = baseline switch
            {
                Baseline.BatchMean => rewards[row] - mean,
                Baseline.LeaveOneOut => rewards[row] - Others(rewards, row),
                _ => rewards[row] + 0.1 * (batch.Rewards[row] - 1),
            };
            batch.SetWeights(row, advantage / batch.Rows);
            loss -= advantage / batch.Rows * batch.Sum(batch.LogPolicy, row);
        }
        return ReadsPolicy ? loss : double.NaN;
    }

    private double Others(double[] rewards, int row)
    {
        int first = row / samples * samples;
        return (rewards.AsSpan(first, samples).ToArray().Sum() - rewards[row]) / (samples - 1);
    }
}
