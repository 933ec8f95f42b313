using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>A row's candidates by ascending token, in memory of the caller's stack.</summary>
internal unsafe struct SideTable
{
    public int Count;
    public int* Tokens;

    /// <summary>π_ref's logits.</summary>
    public float* Logits;

    /// <summary>g.</summary>
    public float* Tilts;

    /// <summary>What top-p orders by in the official order; scratch before.</summary>
    public float* Orders;

    /// <summary>(ℓ − origin)/T; −∞ outside of the support.</summary>
    public double* LogWeights;

    /// <summary>ln q, then ln q + g.</summary>
    public double* LogShares;

    /// <summary>Takes the candidates in, with their logits; their tilts are in <see cref="Orders"/>, by slot.</summary>
    /// <param name="sorted">Scratch, a place a slot.</param>
    public void Fill(int* candidates, int slots, float* scores, int vocabulary, long* sorted)
    {
        Count = Kernels.Tilts.Sort(candidates, slots, vocabulary, sorted);
        for (int k = 0; k < Count; k++)
        {
            int token = (int)(sorted[k] >> 32);
            Tokens[k] = token;
            Logits[k] = ScoreRow.Clean(scores[token]);
            Tilts[k] = Orders[(int)sorted[k]];
        }
    }

    /// <summary>The bounds of a row's blocks, raised to the candidates' scores.</summary>
    public readonly void RaiseTops(float* tops, float* scores)
    {
        for (int k = 0; k < Count; k++)
        {
            float* top = tops + Tokens[k] / ScoreRow.BlockSize;
            *top = MathF.Max(*top, scores[k]);
        }
    }

    /// <summary>Takes the weight of candidates outside of the support.</summary>
    /// <param name="orders">What the support cuts them by.</param>
    public readonly void Restrict(Support support, float* orders)
    {
        for (int k = 0; k < Count; k++)
            if (!support.Contains(orders[k], Tokens[k])) LogWeights[k] = double.NegativeInfinity;
    }

    /// <summary>The best candidate's score with noise, and its place in the table; −1 if none has weight.</summary>
    /// <param name="tiltScale">1/T where that comes after the tilt, else 1.</param>
    public readonly (double Score, int Index) Draw(double tiltScale, ulong key, int stream, int position, bool isGreedy)
    {
        double best = double.NegativeInfinity;
        int index = -1;
        for (int first = 0; first < Count; first += 8)
        {
            Vector256<int> tokens = default;
            int count = Math.Min(8, Count - first);
            for (int lane = 0; lane < count; lane++) tokens = tokens.WithElement(lane, Tokens[first + lane]);
            Vector256<float> noise = isGreedy ? default : GumbelNoise.At(key, stream, position, tokens);
            for (int lane = 0; lane < count; lane++)
            {
                double score = LogWeights[first + lane] + Tilts[first + lane] * tiltScale + noise[lane];
                if (!(score > best)) continue;
                best = score;
                index = first + lane;
            }
        }
        return (best, index);
    }
}
