using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The training loop, once for every method: fill a batch, forward, loss, backward, clip, AdamW. A step's batch and
/// random numbers are functions of its number, so stopping and resuming changes nothing.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly HeadedModel _model;
    private readonly Method _method;
    private readonly IBatchSource _source;
    private readonly Ops _ops;
    private readonly DeviceBuffer _memory;
    private readonly TrainBatch _batch;
    private readonly Activations _activations;
    private readonly Tensor _lossHidden, _dLossHidden, _dHidden, _outputs, _losses;
    private readonly float[] _hostLosses;
    private readonly RecordedStep _step;

    public Trainer(HeadedModel model, Method method, IBatchSource source, OptimizerSettings settings, int rows)
    {
        _model = model;
        _method = method;
        _source = source;
        _ops = model.Ops;
        if (source.Time > model.Config.Context)
            throw new UserException($"The data has rows of {source.Time} tokens, but the model's context is {model.Config.Context}; train a model with a longer context.");
        Optimizer = new Optimizer(_ops, model.Config, model.HeadShape, model.Weights, settings);
        DType type = model.ActivationType;
        int width = model.Config.Width, n = rows * source.Time, m = rows * source.LossesPerRow;
        try
        {
            ((_batch, _activations, _lossHidden, _dLossHidden, _dHidden, _outputs, _losses), _memory) = Arena.Build(_ops.Device, arena => (
                new TrainBatch(rows, source.Time, source.LossesPerRow, arena),
                new Activations(model.Config, rows, source.Time, type, arena),
                arena.Take((m, width), type), arena.Take((m, width), type), arena.Take((n, width), type),
                arena.Take((m, model.Head.Outputs), model.Head.TrainingOutputs(type)), arena.Take(m)));
        }
        catch
        {
            Optimizer.Dispose();
            throw;
        }
        _step = _ops.Device.Record(() =>
        {
            Optimizer.ZeroGradients();
            ForwardAndBackward();
            Optimizer.Update();
        });
        _hostLosses = new float[m];
    }

    public Optimizer Optimizer { get; }

    /// <summary>Optimizer steps done.</summary>
    public int Step { get; set; }

    /// <summary>Bytes of activations and batches.</summary>
    public long ActivationBytes => _memory.Bytes;

    /// <summary>Fills the next batch; not part of the device's step.</summary>
    public void FillBatch()
    {
        _batch.Clear();
        _source.Fill(Step + 1, _batch);
    }

    /// <summary>One optimizer step on the batch that was filled. Allocates nothing.</summary>
    /// <returns>The batch's mean loss (per row, then over rows).</returns>
    public double RunStep()
    {
        _batch.Upload(_ops.Device);
        Optimizer.Begin(++Step);
        _step.Run();
        _ops.Device.Download<float>(_losses, _hostLosses);
        double loss = 0;
        foreach (float part in _hostLosses) loss += part;
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
            if (stop.IsCancellationRequested) return false;
            FillBatch();
            double loss = RunStep();
            tokens += _batch.TokenCount;
            smoothed = double.IsNaN(smoothed) ? loss : 0.95 * smoothed + 0.05 * loss;
            progress.Report(Step, [("loss", smoothed), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
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
        _step.Dispose();
        Optimizer.Dispose();
        _memory.Dispose();
    }

    private void ForwardAndBackward()
    {
        _model.Trunk.Forward(_batch.Tokens, _activations);
        _ops.Gather(_activations.Hidden, _batch.LossRows, _lossHidden);
        _model.Head.Forward(_lossHidden, _batch.LossTokens, _outputs);
        _method.LossAndGradient(_ops, _batch, _outputs, _losses);
        _model.Head.Backward(_outputs, _lossHidden, _batch.LossTokens, _dLossHidden, Optimizer.Gradients);
        _ops.Fill(_dHidden, 0f);
        _ops.GatherBackward(_dLossHidden, _batch.LossRows, _dHidden);
        _model.Trunk.Backward(_dHidden, _batch.Tokens, _activations, Optimizer.Gradients);
    }
}
