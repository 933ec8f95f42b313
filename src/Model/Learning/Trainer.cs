using System.Diagnostics;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The training loop, once for every method: fill a batch, forward, loss and backward, clip, AdamW. A step's batch and
/// random numbers are functions of its number, so stopping and resuming changes nothing.
/// </summary>
/// <param name="learner">Disposed with the trainer.</param>
public sealed class Trainer(Learner learner) : IDisposable
{
    private readonly float[] _hostLosses = new float[learner.Losses.Count];
    private readonly RecordedStep? _recorded = learner.HasFixedShape ? learner.Ops.Device.Record(() => StepOf(learner)) : null;

    /// <inheritdoc cref="ModelLearner(HeadedModel, Method, IBatchSource, OptimizerSettings, BatchSize, RolloutRows?, long, int)"/>
    public Trainer(HeadedModel model, Method method, IBatchSource source, OptimizerSettings settings, BatchSize size)
        : this(new ModelLearner(model, method, source, settings, size))
    {
    }

    public Optimizer Optimizer => learner.Optimizer;

    /// <inheritdoc cref="Learner.Companion"/>
    public Trainer? Companion => learner.Companion;

    /// <inheritdoc cref="Learner.Lagged"/>
    public Parameters? Lagged => learner.Lagged;

    /// <inheritdoc cref="Learner.Figures"/>
    public IReadOnlyList<(string Name, double Value)> Figures => learner.Figures;

    /// <summary>Whether the next step draws its own samples, so that a run may be saved here.</summary>
    public bool IsBetweenSamples => Step % learner.StepsPerSample == 0;

    /// <summary>Which parameters are kept; null: the last ones.</summary>
    public HeldOut? HeldOut { get; init; }

    /// <summary>Optimizer steps done.</summary>
    public int Step { get; set; }

    /// <summary>Bytes of activations and batches.</summary>
    public long ActivationBytes => learner.ActivationBytes;

    /// <summary>Fills the next batch; not part of the device's step.</summary>
    /// <returns>Tokens in it, without padding.</returns>
    public long FillBatch() => learner.Fill(Step + 1);

    /// <summary>One optimizer step on the batch that was filled. Allocates nothing.</summary>
    /// <returns>The batch's mean loss (per row, then over rows).</returns>
    public double RunStep()
    {
        learner.Upload();
        learner.Optimizer.Begin(++Step);
        if (_recorded is null) StepOf(learner);
        else _recorded.Run();
        learner.Ops.Device.Download<float>(learner.Losses, _hostLosses);
        double loss = 0;
        foreach (float part in _hostLosses) loss += part;
        loss = learner.BatchLoss ?? loss;
        if (!double.IsFinite(loss))
            throw new UserException($"The loss of step {Step} is not a number; lower the learning rate (--learning-rate), or look for broken weights in the model it started from.");
        return loss;
    }

    /// <summary>Trains up to <paramref name="steps"/>, reporting each step, or until <paramref name="stop"/>.</summary>
    /// <param name="afterStep">Called with (step, loss); saves checkpoints and logs.</param>
    /// <returns>Whether all steps were done.</returns>
    public bool Run(int steps, string phase, IProgressSink progress, Action<int, double> afterStep, CancellationToken stop)
    {
        progress.Start(phase, steps);
        Stopwatch clock = Stopwatch.StartNew();
        long tokens = 0;
        double smoothed = double.NaN;
        while (Step < steps)
        {
            if (stop.IsCancellationRequested && IsBetweenSamples) return false;
            tokens += FillBatch();
            double loss = RunStep();
            smoothed = double.IsNaN(smoothed) ? loss : 0.95 * smoothed + 0.05 * loss;
            progress.Report(Step, [("loss", smoothed), .. learner.Figures, ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
            afterStep(Step, loss);
        }
        TokensTrained += tokens;
        SecondsTrained += clock.Elapsed.TotalSeconds;
        progress.Finish(FormattableString.Invariant($"loss {smoothed:0.000}"));
        return true;
    }

    public long TokensTrained { get; private set; }

    public double SecondsTrained { get; private set; }

    public void Dispose()
    {
        _recorded?.Dispose();
        learner.Dispose();
    }

    private static void StepOf(Learner learner)
    {
        learner.Optimizer.ZeroGradients();
        learner.Forward();
        learner.Backward();
        learner.Optimizer.Update();
    }
}
