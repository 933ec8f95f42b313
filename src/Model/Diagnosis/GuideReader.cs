using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Reads what a guide says of Z at every token of given responses, as it would while they are drawn.</summary>
internal sealed class GuideReader : IDisposable
{
    private readonly IGuide _guide;
    private readonly Ops _ops;
    private readonly TextWalk _walk;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _tokens, _chosen, _running, _outputs;
    private readonly int[] _hostTokens, _hostRunning;
    private readonly float[] _hostOutputs;

    public GuideReader(LanguageModel reference, IGuide guide, int rows, int promptTokens, int newTokens)
    {
        _guide = guide;
        _ops = reference.Ops;
        _walk = new TextWalk(reference, guide, new SamplerShape(rows, promptTokens, newTokens), candidates: 1);
        ((_tokens, _chosen, _running, _outputs), _memory) = Arena.Build(_ops.Device, arena => (
            arena.Take((rows, 1), DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        (_hostTokens, _hostRunning) = (new int[rows], new int[rows]);
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>Reads responses, at most as many as there are rows.</summary>
    /// <param name="onToken">Sees the index of a response, the index of a token in it, and the guide's logits of Z there.</param>
    public void Read(IReadOnlyList<Rollout> rollouts, Action<int, int, ReadOnlySpan<float>> onToken)
    {
        int atoms = _guide.Settings.Family.Atoms, longest = rollouts.Max(ResponseLength);
        _walk.Clear();
        foreach (Rollout rollout in rollouts) _walk.Add(rollout.Tokens.AsSpan(0, rollout.PromptLength));
        _walk.Start();
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
            _walk.Guide.ScoreNext(_tokens, _outputs);
            _ops.Device.Download<float>(_outputs, _hostOutputs);
            for (int row = 0; row < rollouts.Count; row++)
                if (_hostRunning[row] == 1) onToken(row, t, _hostOutputs.AsSpan(row * atoms, atoms));
            _walk.Take(_tokens.As(_hostTokens.Length), _chosen, _running, Tensor.None);
        }
    }

    public void Dispose()
    {
        _walk.Dispose();
        _memory.Dispose();
    }

    private static int ResponseLength(Rollout rollout) => rollout.Tokens.Length - rollout.PromptLength;
}
