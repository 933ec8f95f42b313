using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Reads what a guide says of Z at every token of given responses, as it would while they are drawn.</summary>
internal sealed class GuideReader : IDisposable
{
    private readonly IGuide _guide;
    private readonly Ops _ops;
    private readonly CachedModel _reference;
    private readonly GuideState _state;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _tokens, _chosen, _running, _source, _outputs;
    private readonly PromptSlots _slots;
    private readonly int[] _hostTokens, _hostRunning, _hostSource, _lengths;
    private readonly float[] _hostOutputs;

    public GuideReader(LanguageModel reference, IGuide guide, int rows, int promptTokens, int newTokens)
    {
        _guide = guide;
        _ops = reference.Ops;
        _reference = new CachedModel(reference, rows, prompts: rows, promptTokens, newTokens, step: 1);
        _state = guide.Open(_reference, new SamplerShape(rows, promptTokens, newTokens), candidates: 1);
        ((_tokens, _chosen, _running, _source, _outputs), _memory) = Arena.Build(_ops.Device, arena => (
            arena.Take((rows, 1), DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32),
            arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        _slots = new PromptSlots(rows, rows, promptTokens);
        (_hostTokens, _hostRunning, _hostSource, _lengths) = (new int[rows], new int[rows], new int[rows], new int[rows]);
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>Reads responses, at most as many as there are rows.</summary>
    /// <param name="onToken">Sees the index of a response, the index of a token in it, and the guide's logits of Z there.</param>
    public void Read(IReadOnlyList<Rollout> rollouts, Action<int, int, ReadOnlySpan<float>> onToken)
    {
        int atoms = _guide.Settings.Family.Atoms, longest = rollouts.Max(ResponseLength);
        _slots.Reset(keepsPrompts: false);
        for (int row = 0; row < _hostTokens.Length; row++)
        {
            if (row < rollouts.Count) _slots.Take(row, rollouts[row].Tokens.AsSpan(0, rollouts[row].PromptLength));
            else _slots.Park(row, 0);
            _hostSource[row] = _hostTokens.Length + _slots.Of[row];
        }
        _ops.Device.Upload<int>(_hostSource, _source);
        _reference.Start(_slots, _lengths, CacheLayout.Sequence, _source);
        _state.Start(_slots, _lengths, _source);
        for (int row = 0; row < _hostSource.Length; row++) _hostSource[row] = row;   // from the first token on
        _ops.Device.Upload<int>(_hostSource, _source);
        _ops.Fill(_chosen, 0);   // the one candidate
        Array.Clear(_hostTokens);
        Array.Clear(_hostRunning);
        for (int t = 0; t < longest; t++)
        {
            for (int row = 0; row < rollouts.Count; row++)
            {
                _hostRunning[row] = t < ResponseLength(rollouts[row]) ? 1 : 0;
                if (_hostRunning[row] == 1) _hostTokens[row] = rollouts[row].Tokens[rollouts[row].PromptLength + t];
            }
            _ops.Device.Upload<int>(_hostTokens, _tokens);
            _ops.Device.Upload<int>(_hostRunning, _running);
            _state.ScoreNext(_tokens, _outputs);
            _ops.Device.Download<float>(_outputs, _hostOutputs);
            for (int row = 0; row < rollouts.Count; row++)
                if (_hostRunning[row] == 1) onToken(row, t, _hostOutputs.AsSpan(row * atoms, atoms));
            Tensor next = _tokens.As(_hostTokens.Length);
            _reference.Append(next, _running);
            _reference.Select(_source);
            _state.Take(new DrawnTokens(next, _chosen, _running, Tensor.None, _source));
        }
    }

    public void Dispose()
    {
        _state.Dispose();
        _reference.Dispose();
        _memory.Dispose();
    }

    private static int ResponseLength(Rollout rollout) => rollout.Tokens.Length - rollout.PromptLength;
}
