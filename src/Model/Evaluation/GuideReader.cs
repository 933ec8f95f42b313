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

    /// <param name="rows">Texts read side by side.</param>
    public GuideReader(LanguageModel reference, IGuide guide, int rows, int promptTokens, int newTokens)
    {
        _guide = guide;
        _ops = reference.Ops;
        _walk = new TextWalk(reference, guide, new SamplerShape(rows, promptTokens, newTokens), candidates: 1);
        try
        {
            ((_tokens, _chosen, _running, _outputs), _memory) = Arena.Build(_ops.Device, arena => (
                arena.Take((rows, 1), DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        }
        catch
        {
            _walk.Dispose();
            throw;
        }
        (_hostTokens, _hostRunning) = (new int[rows], new int[rows]);
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>Reads texts, at most as many as there are rows.</summary>
    /// <param name="texts">Each with the length of its prompt, which is read at once; token by token follows the rest, at least one.</param>
    /// <param name="onToken">Sees the index of a text, the index of a token after its prompt, and the guide's logits of Z there.</param>
    public void Read(IReadOnlyList<(int[] Tokens, int PromptLength)> texts, Action<int, int, ReadOnlySpan<float>> onToken)
    {
        int atoms = _guide.Settings.Family.Atoms, longest = texts.Max(text => text.Tokens.Length - text.PromptLength);
        _walk.Clear();
        foreach ((int[] tokens, int promptLength) in texts) _walk.Add(tokens.AsSpan(0, promptLength));
        _walk.Start();
        _ops.Fill(_chosen, 0);   // the one candidate
        Array.Clear(_hostTokens);
        Array.Clear(_hostRunning);
        for (int t = 0; t < longest; t++)
        {
            if (t > 0) _walk.Take(_tokens.As(_hostTokens.Length), _chosen, _running, Tensor.None);
            for (int row = 0; row < texts.Count; row++)
            {
                int at = texts[row].PromptLength + t;
                _hostRunning[row] = at < texts[row].Tokens.Length ? 1 : 0;
                if (_hostRunning[row] == 1) _hostTokens[row] = texts[row].Tokens[at];
            }
            _ops.Device.Upload<int>(_hostTokens, _tokens);
            _ops.Device.Upload<int>(_hostRunning, _running);
            _walk.Guide.ScoreNext(_tokens, _outputs);
            _ops.Device.Download<float>(_outputs, _hostOutputs);
            for (int row = 0; row < texts.Count; row++)
                if (_hostRunning[row] == 1) onToken(row, t, _hostOutputs.AsSpan(row * atoms, atoms));
        }
    }

    public void Dispose()
    {
        _walk.Dispose();
        _memory.Dispose();
    }
}
