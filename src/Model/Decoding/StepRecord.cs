using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// What the host keeps of each step: tokens and their statistics and, where they are wanted, π_ref's hidden states and its
/// log-probabilities at another temperature and top-p.
/// </summary>
/// <param name="step">Not disposed with the record.</param>
internal sealed class StepRecord(Ops ops, SampleStep step) : IDisposable
{
    private OriginLogProbs? _origin;
    private float[] _hostHidden = [];

    /// <summary>Adds what was drawn to the responses of the rows that drew.</summary>
    /// <param name="active">[R]: 1 for each of these.</param>
    /// <param name="origin">π_ref at those; null: none.</param>
    public void Take(SampleBatch batch, ReadOnlySpan<int> active, GuidanceRule? origin)
    {
        DrawnRows drawn = step.Drawn;
        drawn.Download();
        if (batch.Hidden is not null) TakeHidden(batch, active);
        if (origin is not null) TakeOriginLogProbs(batch, active, origin);
        for (int row = 0; row < batch.Count; row++)
            if (active[row] != 0) batch.Append(row, drawn.HostNext[row], drawn.HostStatistics.Slice(row * SampleStatistics.Count, SampleStatistics.Count));
    }

    public void Dispose() => _origin?.Dispose();

    /// <summary>The hidden states that the tokens were drawn from.</summary>
    private void TakeHidden(SampleBatch batch, ReadOnlySpan<int> active)
    {
        int width = step.LayerStates.Shape.Last;
        if (_hostHidden.Length == 0) _hostHidden = new float[step.LayerStates.Count];
        TensorValues.Read(step.LayerStates, _hostHidden);
        for (int row = 0; row < batch.Count; row++)
        {
            if (active[row] == 0) continue;
            Span<Half> to = batch.Hidden.AsSpan((row * batch.NewTokens + batch.ResponseLengths[row]) * width, width);
            for (int c = 0; c < width; c++) to[c] = (Half)Math.Clamp(_hostHidden[row * width + c], (float)Half.MinValue, (float)Half.MaxValue);
        }
    }

    private void TakeOriginLogProbs(SampleBatch batch, ReadOnlySpan<int> active, GuidanceRule origin)
    {
        _origin ??= new OriginLogProbs(ops, step.Logits);
        ReadOnlySpan<float> logProbs = _origin.Of(step.Logits, step.Drawn.Next, origin);
        for (int row = 0; row < batch.Count; row++)
            if (active[row] != 0) batch.OriginLogProbs[row * batch.NewTokens + batch.ResponseLengths[row]] = logProbs[row];
    }
}
