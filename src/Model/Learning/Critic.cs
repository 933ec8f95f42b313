using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Squared error to each token's return: what a critic learns by.</summary>
public sealed class CriticMethod : Method
{
    public override string Name => "critic";

    public override void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses) =>
        ops.SquaredError(outputs, targets.Returns, targets.Weights, Link.Identity, losses, outputs);
}

/// <summary>A value model of a policy's own: it foretells the return of the text before each token.</summary>
public sealed class Critic : IDisposable
{
    private readonly ValueModel _model;
    private readonly ModelLearner _learner;

    /// <param name="reference">Whose trunk it starts from; the head starts at 0.</param>
    /// <param name="source">The policy's own.</param>
    public Critic(LanguageModel reference, IBatchSource source, OptimizerSettings settings, int rows)
    {
        _model = new ValueModel(reference.Ops, reference.Config, new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false));
        try
        {
            TensorValues.Write(new float[_model.Weights.Head.Count], _model.Weights.Head);
            if (!_model.Weights.HeadBias.IsNone) TensorValues.Write(new float[_model.Weights.HeadBias.Count], _model.Weights.HeadBias);
            Initializer.CopyShared(reference.Ops, reference.Weights, _model.Weights, "head", "head_bias");
            _learner = new ModelLearner(_model, new CriticMethod(), source, settings, rows);
        }
        catch
        {
            _model.Dispose();
            throw;
        }
        Trainer = new Trainer(_learner);
    }

    public Trainer Trainer { get; }

    /// <summary>Values of the batch at hand.</summary>
    /// <param name="values">[M].</param>
    public void Predict(float[] values)
    {
        Trainer.FillBatch();
        _learner.Upload();
        _learner.Forward();
        _learner.Ops.Device.Download<float>(_learner.Outputs, values);
    }

    /// <summary>One step towards what the values should have been.</summary>
    /// <param name="returns">[M].</param>
    public void Learn(float[] returns)
    {
        Trainer.FillBatch();
        returns.CopyTo(_learner.Batch.LossReturns);
        Trainer.RunStep();
    }

    public void Dispose()
    {
        Trainer.Dispose();
        _model.Dispose();
    }
}
