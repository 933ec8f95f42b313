namespace QSharp.Model;

/// <summary>
/// What the proposals of one draw by rejection say of the law, without bias although they end with the first that is accepted. They
/// come in rounds of n, each proposal accepted with its weight w, so with w̄ = E[w] in all; a round is made while none was accepted.
/// <para>
/// Mean weights over the proposals seen are too high: many proposals are seen only where weights are low. But if the N-th is the
/// first accepted, E[1 + ½ + … + 1/(N − 1)] = Σ_k P(N > k)/k = Σ_k (1 − w̄)^k/k = −ln w̄. Here chance is taken out as far as the
/// weights are known: in place of whether N > k stands its chance, given that the rounds before accepted none, and so does in place
/// of the accepted tilt its mean given the accepting round. As proposals of a round are all alike, both are means over the n orders that begin with each.
/// </para>
/// </summary>
internal struct RejectionEstimate
{
    private int _seen;

    /// <summary>ln w̄; estimates are not above 0.</summary>
    public double LogMeanWeight { get; private set; }

    /// <summary>E[tilt of the accepted token], by the last round: the one that accepts.</summary>
    public double MeanTilt { get; private set; }

    /// <summary>Adds a round, whether one of its proposals was accepted or not; after one that was, there is none.</summary>
    /// <param name="weights">[n], from 0 to 1.</param>
    /// <param name="tilts">[n], finite where the weight is not 0.</param>
    public void Add(ReadOnlySpan<double> weights, ReadOnlySpan<float> tilts)
    {
        int n = weights.Length;
        double harmonic = 0, accepted = 0, tilted = 0;
        for (int start = 0; start < n; start++)
        {
            double none = 1;   // the chance that those so far are not accepted
            for (int k = 1; k <= n; k++)
            {
                int i = (start + k - 1) % n;
                double first = none * weights[i];
                none -= first;
                harmonic += none / (_seen + k);
                if (first == 0) continue;
                accepted += first;
                tilted += first * tilts[i];
            }
        }
        LogMeanWeight -= harmonic / n;
        MeanTilt = tilted / accepted;
        _seen += n;
    }
}
