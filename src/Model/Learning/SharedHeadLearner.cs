using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A shared-trunk head on stored hidden states: no transformer runs. Everything is F32, whatever π_ref is kept in.
/// </summary>
public sealed class SharedHeadLearner : Learner
{
    private readonly SharedTrunkGuide _guide;
    private readonly Method _method;
    private readonly HiddenReader _states;
    private readonly HiddenSource _source, _heldOut;
    private readonly TokenTable _table;
    private readonly Optimizer<SharedHeadWeights> _optimizer;
    private readonly SharedHeadWeights _weights;
    private readonly SharedHead _head;
    private readonly DeviceBuffer _weightMemory, _memory;
    private readonly SharedHeadBuffers _buffers;
    private readonly SharedHeadGradients _gradients;
    private readonly LossTargets _targets;
    private readonly Tensor _hidden, _outputs, _losses;
    private readonly float[] _hostHidden, _hostReturns, _hostWeights;
    private readonly int[] _hostTokens, _hostPositions;
    private readonly int _rows;

    /// <param name="guide">Filled by <see cref="Finish"/>; not disposed with the learner.</param>
    /// <param name="states">Disposed with the learner, and where it cannot be made.</param>
    /// <param name="heldOut">Tokens of problems that are not trained on; may be none.</param>
    /// <param name="key">Of the initial weights.</param>
    /// <param name="rows">Tokens of a batch.</param>
    public SharedHeadLearner(
        SharedTrunkGuide guide, Method method, HiddenReader states, HiddenSource source, HiddenSource heldOut, OptimizerSettings settings, ulong key, int rows)
    {
        (_guide, _method, _states, _source, _heldOut, _rows) = (guide, method, states, source, heldOut, rows);
        SharedHeadShape shape = guide.Shape;
        Device device = Ops.Device;
        try
        {
            _table = new TokenTable(guide.Reference.Weights.Tokens, source.Tokens.Concat(heldOut.Tokens).Select(token => token.Token));
            (_weights, _weightMemory) = Arena.Build(device, arena => new SharedHeadWeights(shape, DType.F32, arena));
            Initialize(key);
            _head = new SharedHead(Ops, _weights);
            _optimizer = new Optimizer<SharedHeadWeights>(Ops, arena => new SharedHeadWeights(shape, DType.F32, arena), _weights, settings);
            ((_buffers, _gradients, _targets, _hidden, _outputs, _losses), _memory) = Arena.Build(device, arena => (
                new SharedHeadBuffers(shape, rows, DType.F32, arena), new SharedHeadGradients(shape, rows, arena),
                new LossTargets(arena.Take(rows, DType.I32), arena.Take(rows), arena.Take(rows)),
                arena.Take((rows, shape.Width)), arena.Take((rows, shape.Atoms)), arena.Take(rows)));
        }
        catch
        {
            Dispose();
            throw;
        }
        _hostHidden = new float[rows * shape.Width];
        _hostReturns = new float[rows];
        _hostWeights = new float[rows];
        _hostTokens = new int[rows];
        _hostPositions = new int[rows];
    }

    public override Ops Ops => _guide.Reference.Ops;

    public override Optimizer Optimizer => _optimizer;

    public override Method Method => _method;

    public override Tensor Losses => _losses;

    public override Tensor Outputs => _outputs;

    public override long ActivationBytes => _memory.Bytes;

    public override int HeldOutBatches => (_heldOut.Tokens.Count + _rows - 1) / _rows;

    public override LossPositions Positions => new(_hostReturns, _hostWeights, _hostPositions);

    public override long Fill(int step)
    {
        for (int i = 0; i < _rows; i++) Set(i, _source.Draw(step, i, _rows), 1 / (_source.MeanWeight * _rows));
        return _rows;
    }

    public override void FillHeldOut(int index)
    {
        float total = _heldOut.MeanWeight * _heldOut.Tokens.Count;
        for (int i = 0; i < _rows; i++)
        {
            int at = index * _rows + i;
            if (at < _heldOut.Tokens.Count) Set(i, _heldOut.Tokens[at], 1 / total);
            else _hostWeights[i] = 0;   // what the slot held before is a token still, but counts for nothing
        }
    }

    public override void Upload()
    {
        Device device = Ops.Device;
        device.Upload<float>(_hostHidden, _hidden);
        device.Upload<int>(_hostTokens, _targets.Tokens);
        device.Upload<float>(_hostReturns, _targets.Returns);
        device.Upload<float>(_hostWeights, _targets.Weights);
    }

    public override void Forward() => _head.Forward(_hidden, _table.Rows, _targets.Tokens, _buffers, _outputs);

    public override void Loss() => _method.LossAndGradient(Ops, _targets, _outputs, _losses);

    public override void Backward()
    {
        Loss();
        _head.Backward(_outputs, _hidden, _table.Rows, _targets.Tokens, _buffers, _gradients, _optimizer.Gradients);
    }

    /// <summary>Gives the guide the head as it now is.</summary>
    public void Finish() => _table.Fold(Ops, _weights, _guide.Weights);

    public override void Dispose()
    {
        _optimizer?.Dispose();   // null where it or what comes before it failed
        _memory?.Dispose();
        _weightMemory?.Dispose();
        _table?.Dispose();
        _states.Dispose();
    }

    /// <summary>What comes after the first layer is 0, so that the head starts at the data's mean return.</summary>
    private void Initialize(ulong key)
    {
        Initializer.Head(_weights, key);
        if (_guide.Settings.Family.Kind != FamilyKind.Bernoulli) return;
        double mean = Math.Clamp(_source.MeanReturn, 1e-3, 1 - 1e-3);
        TensorValues.Write([(float)Math.Log(mean / (1 - mean))], _weights.BiasBias);
    }

    private void Set(int row, LossToken token, float scale)
    {
        int width = _guide.Shape.Width;
        _states.Read(token.State, _hostHidden.AsSpan(row * width, width));
        _hostTokens[row] = _table.IndexOf(token.Token);
        _hostReturns[row] = token.Return;
        _hostWeights[row] = token.Weight * scale;
        _hostPositions[row] = token.Position;
    }
}
