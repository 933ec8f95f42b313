namespace QSharp.Model;

/// <summary>
/// PPO (Schulman et al. 2017): L = −1/B Σ_b Σ_t min(ρ_t A_t, clip(ρ_t, 1 ± ε) A_t), ρ = π/π_sampled, over a few steps on the
/// same samples. Advantages are GAE's with γ = 1 from token rewards −β ln(π_sampled/π_ref), plus R at the last token
/// (method notes §4.4). The values are those of a critic with a trunk of its own, which learns A_t + V_t by squared error in
/// as many steps: the simple form, and one that leaves the policy a plain language model.
/// </summary>
/// <param name="beta">Price of a nat of KL to π_ref.</param>
/// <param name="clip">ε.</param>
/// <param name="lambda">Of GAE: 1 trusts the samples alone, 0 the critic.</param>
public sealed class PpoMethod(float beta, float clip = 0.2f, float lambda = 0.95f) : PolicyMethod
{
    public override bool ReadsPolicy => true;

    public override bool ReadsReference => beta > 0;

    public override bool HasCritic => true;

    public override double Weigh(PolicyBatch batch)
    {
        double loss = 0;
        for (int row = 0; row < batch.Rows; row++)
        {
            (int start, int count) = batch.Losses[row];
            if (batch.IsFresh) Advantages(batch, start, start + count - 1, batch.Rewards[row]);
            for (int m = start; m < start + count; m++)
            {
                double ratio = Math.Exp((double)batch.LogPolicy[m] - batch.LogSampled[m]), advantage = batch.Advantages[m];
                double plain = ratio * advantage, clipped = Math.Clamp(ratio, 1 - clip, 1 + clip) * advantage;
                loss -= Math.Min(plain, clipped) / batch.Rows;
                batch.Weights[m] = plain <= clipped ? (float)(plain / batch.Rows) : 0;
            }
        }
        return loss;
    }

    /// <summary>A_t = δ_t + λ A_(t+1), δ_t = r_t + V_(t+1) − V_t, from the last token back; the value after it is 0.</summary>
    private void Advantages(PolicyBatch batch, int first, int last, float reward)
    {
        double next = 0, nextValue = 0;
        for (int m = last; m >= first; m--)
        {
            double tokenReward = (m == last ? reward : 0) - (beta > 0 ? beta * ((double)batch.LogSampled[m] - batch.LogReference[m]) : 0);
            next = tokenReward + nextValue - batch.Values[m] + lambda * next;
            nextValue = batch.Values[m];
            batch.Advantages[m] = (float)next;
            batch.Returns[m] = (float)(next + nextValue);
        }
    }
}
