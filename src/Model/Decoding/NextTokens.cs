using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>π_ref's K likeliest next tokens, as temperature and top-p shape its law, for learners and readers that sum over them.</summary>
/// <param name="rows">R.</param>
/// <param name="vocabulary">Ids that may come, the first of π_ref's.</param>
/// <param name="k">K.</param>
internal sealed class NextTokens(LanguageModel reference, int rows, int vocabulary, int k, Arena arena)
{
    // A top-p set of one token: less than its share, whatever the vocabulary.
    private const float LikeliestAlone = 1e-9f;

    private readonly Tensor _logits = arena.Take((rows, vocabulary)), _top = arena.Take((rows, k));
    private readonly float[] _hostTop = new float[rows * k];

    /// <summary>[R, K] I32, the likeliest first.</summary>
    public Tensor Candidates { get; } = arena.Take((rows, k), DType.I32);

    /// <summary>Finds them.</summary>
    /// <param name="hidden">[R, C].</param>
    /// <param name="temperature">0: the likeliest token alone has a share.</param>
    public void Read(Tensor hidden, float temperature, float topP)
    {
        Ops ops = reference.Ops;
        reference.Head.Forward(hidden, Tensor.None, _logits);
        float positive = temperature == 0 ? 1 : temperature;
        ops.TopP(_logits, positive, temperature == 0 ? LikeliestAlone : topP, _logits, Tensor.None);
        ops.LogSoftmax(_logits, positive, _logits);
        ops.TopK(_logits, Candidates, _top);
        ops.Device.Download<float>(_top, _hostTop);
    }

    /// <summary>A row's shares of them, which add up to 1; a token outside of the top-p set has 0.</summary>
    /// <param name="shares">[K].</param>
    public void Shares(int row, Span<double> shares)
    {
        double total = 0;
        for (int i = 0; i < k; i++) total += shares[i] = Math.Exp(_hostTop[row * k + i]);
        foreach (ref double share in shares) share /= total;
    }
}
