using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// One training phase of a run folder: resumes from the phase's newest checkpoint, saves one every so often and when
/// interrupted, and logs each step.
/// </summary>
/// <param name="phase">Name for progress and metrics.</param>
/// <param name="folder">Holds <c>checkpoint-000200</c>.</param>
/// <param name="fingerprint">Everything that shapes the phase; a checkpoint of another configuration is refused.</param>
public sealed class TrainingRun(Trainer trainer, string phase, string folder, string fingerprint, MetricsLog metrics)
{
    /// <summary>Steps between checkpoints.</summary>
    public int SaveEvery { get; init; } = 500;

    /// <summary>Trains to <paramref name="steps"/>.</summary>
    /// <exception cref="OperationCanceledException">Interrupted; the state is saved and a later run goes on from it.</exception>
    /// <exception cref="CudaException">The card was lost; the sentence names the checkpoint from which a later run goes on.</exception>
    public void Run(int steps, IProgressSink progress, CancellationToken stop)
    {
        if (TrainerCheckpoint.LoadNewest(trainer, folder, fingerprint))
            progress.Note(FormattableString.Invariant($"{phase}: resumed at step {trainer.Step}"));
        metrics.TruncateAfter(phase, trainer.Step);
        metrics.TruncateAfter($"{phase}-held-out", trainer.Step);
        int savedAt = trainer.Step;
        bool done;
        try
        {
            done = trainer.Run(steps, phase, progress, (step, loss) =>
            {
                metrics.Write(phase, step, loss, trainer.Figures);
                if (trainer.HeldOut is { } heldOut && HeldOut.IsDue(step, steps)) metrics.Write($"{phase}-held-out", step, heldOut.Look(step));
                if (step / SaveEvery > savedAt / SaveEvery && step < steps && trainer.IsBetweenSamples)
                {
                    TrainerCheckpoint.Save(trainer, folder, fingerprint);
                    savedAt = step;
                }
            }, stop);
        }
        catch (CudaException failure) when (failure.IsSticky)
        {
            throw failure.With(TrainerCheckpoint.Newest(folder) is { } saved
                ? $"{phase} was saved last in {saved}, and the same command with --resume goes on from there"
                : $"{phase} had no checkpoint yet, and the same command with --resume begins this phase anew");
        }
        if (done)
        {
            trainer.HeldOut?.Restore();
            return;
        }
        TrainerCheckpoint.Save(trainer, folder, fingerprint);
        throw new OperationCanceledException(FormattableString.Invariant($"Stopped at step {trainer.Step} of {phase}; saved."), stop);
    }
}
