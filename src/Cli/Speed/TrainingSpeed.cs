using System.Diagnostics;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>How long a training step takes.</summary>
/// <param name="Milliseconds">The median, the batch's upload and the loss's download included.</param>
/// <param name="ProductShare">Share of the ops' time that is spent in matrix products.</param>
internal sealed record TrainingTiming(double Milliseconds, double ProductShare)
{
    private const int WarmUps = 3;

    /// <summary>Trains a model on random rows.</summary>
    /// <param name="time">Tokens of a row.</param>
    public static TrainingTiming Of(HeadedModel model, Method method, int rows, int time, int steps, CancellationToken stop)
    {
        if (time < 2) throw new UserException($"--context {time}: training needs rows of at least 2 tokens.");
        RandomRows source = new(time, model.Config.Vocab, model.Head.ReadsAtToken);
        using Trainer trainer = new(model, method, source, new OptimizerSettings(new LearningRate(1e-5f, 0, WarmUps + steps)), rows);
        double[] times = new double[steps];
        for (int step = -WarmUps; step < steps; step++)
        {
            stop.ThrowIfCancellationRequested();
            trainer.FillBatch();
            long start = Stopwatch.GetTimestamp();
            trainer.RunStep();
            if (step >= 0) times[step] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        return new TrainingTiming(DecodeSpeed.Median(times), Products(trainer, model.Ops.Device));
    }

    /// <summary>One more step, traced: on a card by its own clock, each op between two events.</summary>
    private static double Products(Trainer trainer, Device device)
    {
        double products = 0, all = 0;
        trainer.FillBatch();
        using (Engine.Trace.Start(device, Add, () => { })) trainer.RunStep();
        return products / all;

        void Add(TracedOp op)
        {
            if (op.IsOnCard == device.IsHost) return;
            all += op.Duration;
            if (op.Name.Contains("MatMul", StringComparison.Ordinal)) products += op.Duration;
        }
    }
}
