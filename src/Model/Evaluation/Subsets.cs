namespace QSharp.Model;

/// <summary>Means over all choices of n out of k samples, so that k samples say without noise what n of them would do.</summary>
public static class Subsets
{
    /// <summary>Mean value of the best of n, over all subsets: of equal scores, the first one counts as the better.</summary>
    /// <param name="scores">[k], by which the best is chosen.</param>
    /// <param name="values">[k], what it is worth.</param>
    /// <param name="n">From 1 to k.</param>
    public static double BestOf(ReadOnlySpan<double> scores, ReadOnlySpan<double> values, int n)
    {
        int k = scores.Length;
        double[] ranked = scores.ToArray();
        int[] order = [.. Enumerable.Range(0, k).OrderByDescending(i => ranked[i])];
        // The i-th best is a subset's best if none of those before it is in: C(k − 1 − i, n − 1) of C(k, n) subsets.
        double mean = 0, share = (double)n / k;
        for (int i = 0; i + n <= k; i++)
        {
            mean += share * values[order[i]];
            share *= (double)(k - i - n) / (k - 1 - i);
        }
        return mean;
    }
}
