namespace QSharp.Model;

/// <summary>
/// DPO (Rafailov et al. 2023) and RPO (Pang et al. 2024) on pairs of a right and a wrong response, rows 2i and 2i + 1:
/// −ln σ(βΔ) − α ln π(y_w), Δ = ln(π/π_ref)(y_w) − ln(π/π_ref)(y_l), mean over pairs. Log-probabilities are summed over a
/// response, as in the official code of Q♯ (method notes §4.5).
/// </summary>
/// <param name="alpha">Weight of the right response's own likelihood; 0 is DPO.</param>
/// <param name="isNormalized">Whether that likelihood is a mean over tokens, as in RPO's paper.</param>
public sealed class PreferenceMethod(float beta, float alpha, bool isNormalized) : PolicyMethod
{
    public override bool ReadsPolicy => true;

    public override bool ReadsReference => true;

    public override double Weigh(PolicyBatch batch)
    {
        int pairs = batch.Rows / 2;
        double loss = 0;
        for (int right = 0; right < batch.Rows; right += 2)
        {
            int wrong = right + 1;
            double likelihood = batch.Sum(batch.LogPolicy, right);
            double margin = beta * (likelihood - batch.Sum(batch.LogReference, right)
                - batch.Sum(batch.LogPolicy, wrong) + batch.Sum(batch.LogReference, wrong));
            double pull = beta * Math.Exp(LogSigmoid(-margin)), own = alpha / (isNormalized ? batch.Losses[right].Count : 1);
            loss -= (LogSigmoid(margin) + own * likelihood) / pairs;
            batch.SetWeights(right, (pull + own) / pairs);
            batch.SetWeights(wrong, -pull / pairs);
        }
        return loss;
    }
}
