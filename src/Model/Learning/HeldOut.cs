using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Looks at a learner's held-out problems from time to time, and keeps the parameters that foretell them best.</summary>
/// <param name="family">What the learner's outputs mean.</param>
public sealed class HeldOut(Learner learner, ReturnFamily family)
{
    private readonly float[] _outputs = new float[learner.Outputs.Count], _losses = new float[learner.Losses.Count];

    /// <summary>The rule by which parameters are kept, in one line.</summary>
    public const string Rule = "the parameters with the least loss on held-out problems, looked at after each tenth of the steps";

    /// <summary>The step whose parameters are kept; 0 before the first look.</summary>
    public int BestStep { get; internal set; }

    public double BestLoss { get; internal set; } = double.PositiveInfinity;

    /// <summary>The parameters that are kept, by name.</summary>
    internal Dictionary<string, float[]> Best { get; } = [];

    /// <summary>Whether a look is due.</summary>
    public static bool IsDue(int step, int steps) => step == steps || step % Math.Max(1, steps / 10) == 0;

    /// <summary>Keeps the learner's parameters if they are the best so far.</summary>
    /// <returns>Their loss.</returns>
    public double Look(int step)
    {
        double loss = 0;
        Run((_, losses) => loss += losses);
        if (!(loss < BestLoss)) return loss;
        (BestStep, BestLoss) = (step, loss);
        foreach ((string name, Tensor value, _) in learner.Optimizer.Weights.Named) Best[name] = TensorValues.Read(value);
        return loss;
    }

    /// <summary>Gives the learner the parameters that were kept.</summary>
    public void Restore()
    {
        if (BestStep == 0) return;
        foreach ((string name, Tensor value, _) in learner.Optimizer.Weights.Named) TensorValues.Write(Best[name], value);
        learner.Optimizer.RoundWeights(BestStep);
    }

    /// <summary>All figures, for the parameters as they are.</summary>
    public HeldOutReport Report()
    {
        List<Prediction> predictions = [];
        double loss = 0;
        Run((batch, losses) =>
        {
            predictions.AddRange(batch);
            loss += losses;
        });
        return HeldOutReport.Of(loss, learner.Method?.ConstantLoss(predictions), predictions);
    }

    private void Run(Action<List<Prediction>, double> onBatch)
    {
        List<Prediction> predictions = [];
        for (int index = 0; index < learner.HeldOutBatches; index++)
        {
            learner.FillHeldOut(index);
            learner.Upload();
            learner.Forward();
            learner.Ops.Device.Download<float>(learner.Outputs, _outputs);
            learner.Loss();
            learner.Ops.Device.Download<float>(learner.Losses, _losses);
            LossPositions positions = learner.Positions;
            ReadOnlySpan<float> returns = positions.Returns.Span, weights = positions.Weights.Span;
            predictions.Clear();
            double loss = 0;
            for (int m = 0; m < weights.Length; m++)
            {
                if (weights[m] == 0) continue;
                loss += _losses[m];
                float mean = family.Mean(_outputs.AsSpan(m * family.Atoms, family.Atoms));
                predictions.Add(new Prediction(mean, returns[m], weights[m], positions.Positions.Span[m]));
            }
            onBatch(predictions, loss);
        }
    }
}
