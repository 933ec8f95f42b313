using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A guide as a reward model of finished responses (method notes §2.8): E[Z(x, y)] at the last token, whoever wrote the response.
/// </summary>
public sealed class GuideJudge : IDisposable
{
    private readonly IGuide _guide;
    private readonly CachedModel _reference;
    private readonly GuideState _state;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _last, _source, _outputs;
    private readonly PromptSlots _slots;
    private readonly int[] _hostLast, _hostSource, _lengths;
    private readonly float[] _hostOutputs;

    /// <param name="tokens">The longest prompt and response together.</param>
    public GuideJudge(LanguageModel reference, IGuide guide, int rows, int tokens)
    {
        _guide = guide;
        SamplerShape shape = new(rows, tokens, NewTokens: 1);
        _reference = new CachedModel(reference, rows, prompts: rows, tokens, newTokens: 1, step: 1);
        _state = guide.Open(_reference, shape, candidates: 1);
        ((_last, _source, _outputs), _memory) = Arena.Build(reference.Ops.Device, arena =>
            (arena.Take((rows, 1), DType.I32), arena.Take(rows, DType.I32), arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        _slots = new PromptSlots(rows, rows, tokens);
        _hostLast = new int[rows];
        _hostSource = new int[rows];
        _lengths = new int[rows];
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>The score of each response, no more than there are rows.</summary>
    /// <param name="texts">Prompts and responses.</param>
    public double[] Score(IReadOnlyList<(int[] Prompt, int[] Response)> texts)
    {
        int rows = _hostLast.Length, atoms = _guide.Settings.Family.Atoms;
        _slots.Reset(keepsPrompts: false);
        for (int row = 0; row < texts.Count; row++)
        {
            (int[] prompt, int[] response) = texts[row];
            _slots.Take(row, [.. prompt, .. response[..^1]]);
            _hostLast[row] = response[^1];
        }
        for (int row = 0; row < rows; row++) _hostSource[row] = rows + _slots.Of[row];
        Device device = _last.Buffer!.Device;
        device.Upload<int>(_hostLast, _last);
        device.Upload<int>(_hostSource, _source);
        _reference.Start(_slots, _lengths, CacheLayout.Sequence, _source);
        _state.Start(_slots, _lengths, _source);
        _state.ScoreNext(_last, _outputs);
        device.Download<float>(_outputs, _hostOutputs);
        return [.. Enumerable.Range(0, texts.Count).Select(row => (double)_guide.Settings.Family.Mean(_hostOutputs.AsSpan(row * atoms, atoms)))];
    }

    public void Dispose()
    {
        _state.Dispose();
        _reference.Dispose();
        _memory.Dispose();
    }
}
