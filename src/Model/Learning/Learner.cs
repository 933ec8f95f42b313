using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a <see cref="Trainer"/> trains: parameters under an optimizer, and one pass over a batch.</summary>
public abstract class Learner : IDisposable
{
    public abstract Ops Ops { get; }

    public abstract Optimizer Optimizer { get; }

    /// <summary>[M]: each position's weighted loss of the last pass; their sum is the batch's.</summary>
    public abstract Tensor Losses { get; }

    /// <summary>The loss at the head; null where the learner has one of its own.</summary>
    public virtual Method? Method => null;

    /// <summary>[M, Outputs] of the head; where it does not keep them (<see cref="IHead.KeepsOutputs"/>), some rows of them.</summary>
    public abstract Tensor Outputs { get; }

    /// <summary>Bytes of activations and batches.</summary>
    public abstract long ActivationBytes { get; }

    /// <summary>Fills the host's batch of a step.</summary>
    /// <param name="step">From 1.</param>
    /// <returns>Tokens in it, without padding.</returns>
    public abstract long Fill(int step);

    /// <summary>How many batches the held-out problems make; 0 where there are none.</summary>
    public abstract int HeldOutBatches { get; }

    /// <summary>Fills the host's batch with held-out positions; their weights add up to 1 over all batches.</summary>
    public abstract void FillHeldOut(int index);

    /// <summary>The host's batch as it is filled.</summary>
    public abstract LossPositions Positions { get; }

    /// <summary>Copies the batch to the device.</summary>
    public abstract void Upload();

    /// <summary>Steps that learn from the same samples of the model in training.</summary>
    public virtual int StepsPerSample => 1;

    /// <summary>Another model that learns beside this one, saved with it: a critic. Null where there is none.</summary>
    public virtual Trainer? Companion => null;

    /// <summary>Parameters of a copy that the loss reads and that is saved with the learner; null where there is none.</summary>
    public virtual Parameters? Lagged => null;

    /// <summary>Whether all batches have one shape, so that a step can be recorded.</summary>
    public virtual bool HasFixedShape => true;

    /// <summary>The last batch's loss, where it is not the sum of <see cref="Losses"/>.</summary>
    public virtual double? BatchLoss => null;

    /// <summary>What else there is to say of the last batch, by name: the mean reward of the samples that it learned from.</summary>
    public virtual IReadOnlyList<(string Name, double Value)> Figures => [];

    // The parts of a step. Recorded: what changes from step to step lies on the device.

    /// <summary>Fills <see cref="Outputs"/>, where the head keeps them.</summary>
    public abstract void Forward();

    /// <summary>Fills <see cref="Losses"/>. What the outputs were is lost.</summary>
    public abstract void Loss();

    /// <summary>Fills <see cref="Losses"/> and adds to the gradients.</summary>
    public abstract void Backward();

    public abstract void Dispose();
}

/// <summary>What a batch's M losses are about, on the host.</summary>
/// <param name="Weights">0 for unused ones.</param>
/// <param name="Positions">Index of the token among the loss tokens of its response.</param>
public readonly record struct LossPositions(ReadOnlyMemory<float> Returns, ReadOnlyMemory<float> Weights, ReadOnlyMemory<int> Positions);

/// <summary>
/// A transformer with a head, whole rows a batch. Logits of a vocabulary are never held for all M positions: as many rows as
/// fit a fixed memory are made at a time, and the head's gradient adds up over them in order.
/// </summary>
public class ModelLearner : Learner
{
    /// <summary>Memory of outputs that are not kept.</summary>
    private protected const long ChunkBytes = 128 << 20;

    private readonly HeadedModel _model;
    private readonly Method? _method;
    private readonly IBatchSource _source;
    private readonly RolloutRows? _heldOut;
    private readonly Optimizer<Weights> _optimizer;
    private readonly DeviceBuffer _memory, _workMemory;
    private readonly BatchSize _size;
    private readonly TrainBatch _batch;
    private readonly Tensor _lossHidden, _dLossHidden, _outputs, _losses;
    private Activations _activations;
    private Tensor _dHidden;

    /// <param name="model">Not disposed with the learner.</param>
    /// <param name="method">Null for a learner with a loss of its own.</param>
    /// <param name="size">Of a batch.</param>
    /// <param name="heldOut">Roll-outs of problems that are not trained on, or null.</param>
    /// <param name="chunkBytes">Memory of a head's outputs that are not kept.</param>
    /// <param name="vocabulary">Ids that a language model chooses among, the first of its own: those beyond the tokenizer are never drawn. 0: all.</param>
    public ModelLearner(
        HeadedModel model, Method? method, IBatchSource source, OptimizerSettings settings, BatchSize size, RolloutRows? heldOut = null, long chunkBytes = ChunkBytes,
        int vocabulary = 0)
    {
        _heldOut = heldOut;
        _model = model;
        _method = method;
        _source = source;
        _size = size;
        Longest = Math.Max(source.Time, heldOut?.Time ?? 0);
        if (Longest > model.Config.Context)
            throw new UserException($"The data has rows of {Longest} tokens, but the model's context is {model.Config.Context}; train a model with a longer context.");
        _optimizer = new Optimizer<Weights>(Ops, arena => new Weights(model.Config, model.HeadShape, DType.F32, arena), model.Weights, settings);
        DType type = model.ActivationType;
        int lossesPerRow = Math.Max(source.LossesPerRow, heldOut?.LossesPerRow ?? 0), width = model.Config.Width, outputs = vocabulary > 0 ? vocabulary : model.Head.Outputs;
        DType outputType = model.Head.TrainingOutputs(type);
        try
        {
            ((_batch, _lossHidden, _dLossHidden, _outputs, _losses), _memory) = Arena.Build(Ops.Device, arena =>
            {
                TrainBatch batch = new(size, Longest, lossesPerRow, arena);
                int m = batch.LossCapacity;
                int chunk = model.Head.KeepsOutputs ? m : (int)Math.Clamp(chunkBytes / (outputs * outputType.Size()), 1, Math.Max(m, 1));
                return (
                    batch, arena.Take((m, width), type), arena.Take((m, width), type), arena.Take((chunk, outputs), outputType), arena.Take(m));
            });
            // What a batch's own shape decides. As one row of all tokens it takes as much as in any shape.
            ((_activations, _dHidden), _workMemory) = Arena.Build(
                Ops.Device, arena => HasFixedShape ? Work(size.Rows, Longest, arena) : Work(1, size.Tokens, arena));
        }
        catch
        {
            _memory?.Dispose();   // null where it was what failed
            _optimizer.Dispose();
            throw;
        }
    }

    /// <summary>Tokens of the longest row.</summary>
    private protected int Longest { get; }

    public override Ops Ops => _model.Ops;

    public override Optimizer Optimizer => _optimizer;

    public override Method? Method => _method;

    public override Tensor Losses => _losses;

    public override Tensor Outputs => _outputs;

    public override long ActivationBytes => _memory.Bytes + _workMemory.Bytes;

    public override bool HasFixedShape => _size.Tokens == 0;

    public override int HeldOutBatches => _heldOut?.Batches(_size) ?? 0;

    public override LossPositions Positions => _batch.Positions;

    public override int StepsPerSample => _source.StepsPerSample;

    /// <summary>The batch as it is filled.</summary>
    public TrainBatch Batch => _batch;

    public override long Fill(int step)
    {
        _batch.Clear();
        _source.Fill(step, _batch);
        TakeShape();
        return _batch.TokenCount;
    }

    public override void FillHeldOut(int index)
    {
        _batch.Clear();
        _heldOut!.Fill(index, _size, _batch);
        TakeShape();
    }

    public override void Upload() => _batch.Upload(Ops.Device);

    public override void Forward() => Forward(_model);

    /// <summary>The same of a model of the same shape.</summary>
    private protected void Forward(HeadedModel model)
    {
        Read(model, _lossHidden);
        if (model.Head.KeepsOutputs) model.Head.Forward(_lossHidden, _batch.Targets.Tokens, _outputs);
    }

    /// <summary>The hidden states, in a trunk of the same shape, that the losses read.</summary>
    /// <param name="hidden">[M, C].</param>
    private protected void Read(HeadedModel model, Tensor hidden)
    {
        model.Trunk.Forward(_batch.Tokens, _activations);
        Ops.Gather(_activations.Hidden, _batch.LossRows, hidden);
    }

    /// <summary>How many losses follow from one on before the outputs' memory is full.</summary>
    private protected int ChunkAt(int first) => Math.Min(_outputs.Shape.D0, (int)_losses.Count - first);

    /// <summary>The head's outputs for some losses, after <see cref="Forward(HeadedModel)"/>.</summary>
    private protected Tensor OutputsOf(HeadedModel model, int first, int count)
    {
        Tensor outputs = _outputs.Range(0, count);
        if (!model.Head.KeepsOutputs) model.Head.Forward(_lossHidden.Range(first, count), _batch.Targets.Tokens.Range(first, count), outputs);
        return outputs;
    }

    public override void Loss()
    {
        for (int first = 0, count; (count = ChunkAt(first)) > 0; first += count) LossOf(first, count);
    }

    /// <returns>The gradient, in the place of the outputs.</returns>
    private Tensor LossOf(int first, int count)
    {
        Tensor outputs = OutputsOf(_model, first, count);
        LossAndGradient(first, _batch.Targets.Range(first, count), outputs, _losses.Range(first, count));
        return outputs;
    }

    /// <summary>The losses of some positions, and the gradient in the place of the outputs.</summary>
    /// <param name="first">Which of the batch's losses the first of them is.</param>
    private protected virtual void LossAndGradient(int first, LossTargets targets, Tensor outputs, Tensor losses) =>
        _method!.LossAndGradient(Ops, targets, outputs, losses);

    public override void Backward()
    {
        Weights gradients = _optimizer.Gradients;
        for (int first = 0, count; (count = ChunkAt(first)) > 0; first += count)
            _model.Head.Backward(
                LossOf(first, count), _lossHidden.Range(first, count), _batch.Targets.Tokens.Range(first, count), _dLossHidden.Range(first, count), gradients);
        Ops.Fill(_dHidden, 0f);
        Ops.GatherBackward(_dLossHidden, _batch.LossRows, _dHidden);
        _model.Trunk.Backward(_dHidden, _batch.Tokens, _activations, gradients);
    }

    public override void Dispose()
    {
        _optimizer.Dispose();
        _memory.Dispose();
        _workMemory.Dispose();
        GC.SuppressFinalize(this);
    }

    private (Activations Activations, Tensor DHidden) Work(int rows, int time, Arena arena) => (
        new Activations(_model.Config, rows, time, _model.ActivationType, arena), arena.Take((rows * time, _model.Config.Width), _model.ActivationType));

    private void TakeShape()
    {
        if (_batch.Rows == _activations.Rows && _batch.Time == _activations.Time) return;
        (_activations, _dHidden) = Arena.Carve(_workMemory, arena => Work(_batch.Rows, _batch.Time, arena));
    }
}
