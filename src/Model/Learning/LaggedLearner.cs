using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A guide that stays near what it said some steps ago: cross-entropy and κ·KL(p_lagged ‖ p) (method notes §4.8). The copy is
/// part of a checkpoint. On held-out problems the cross-entropy alone is looked at.
/// </summary>
public sealed class LaggedLearner : ModelLearner
{
    private readonly ReturnLoss _loss;
    private readonly ValueModel _guide, _lagged;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _anchor;
    private bool _isHeldOut;

    public LaggedLearner(ReturnLoss loss, ValueModel guide, IBatchSource source, OptimizerSettings settings, BatchSize size, RolloutRows? heldOut)
        : base(guide, loss.Method(guide.Settings.Family), source, settings, size, heldOut)
    {
        (_loss, _guide) = (loss, guide);
        try
        {
            _lagged = new ValueModel(Ops, guide.Config, guide.Settings, guide.Weights.MatrixType);
            (_anchor, _memory) = Arena.Build(Ops.Device, arena => arena.Take(Outputs.Shape));
        }
        catch
        {
            _lagged?.Dispose();
            base.Dispose();
            throw;
        }
    }

    public override Parameters Lagged => _lagged.Weights;

    public override long Fill(int step)
    {
        _isHeldOut = false;
        long tokens = base.Fill(step);
        if ((step - 1) % _loss.Lag == 0) Initializer.CopyShared(Ops, _guide.Weights, _lagged.Weights);
        Upload();
        Forward(_lagged);
        Ops.Copy(Outputs, _anchor);
        return tokens;
    }

    public override void FillHeldOut(int index)
    {
        _isHeldOut = true;
        base.FillHeldOut(index);
    }

    private protected override void LossAndGradient(int first, LossTargets targets, Tensor outputs, Tensor losses)
    {
        if (_isHeldOut) base.LossAndGradient(first, targets, outputs, losses);
        else Ops.RegularisedCrossEntropy(
            outputs, _anchor, targets.Returns, targets.Weights, _guide.Settings.Family, _loss.Projection, _loss.Kappa, losses, outputs);
    }

    public override void Dispose()
    {
        _lagged.Dispose();
        _memory.Dispose();
        base.Dispose();
    }
}
