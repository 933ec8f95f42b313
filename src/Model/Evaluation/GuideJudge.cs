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
    private readonly Tensor _last, _outputs;
    private readonly SampleBatch _batch;
    private readonly int[] _hostLast;
    private readonly float[] _hostOutputs;

    /// <param name="tokens">The longest prompt and response together.</param>
    public GuideJudge(LanguageModel reference, IGuide guide, int rows, int tokens)
    {
        _guide = guide;
        SamplerShape shape = new(rows, tokens, NewTokens: 1);
        _reference = new CachedModel(reference, rows, tokens, newTokens: 1, step: 1);
        _state = guide.Open(_reference, shape, candidates: 1);
        ((_last, _outputs), _memory) = Arena.Build(
            reference.Ops.Device, arena => (arena.Take((rows, 1), DType.I32), arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        _batch = new SampleBatch(rows, tokens, 1);
        _hostLast = new int[rows];
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>The score of each response of a batch that was sampled.</summary>
    /// <param name="scores">One for each row in use.</param>
    public void Score(SampleBatch sampled, Span<double> scores)
    {
        _batch.Clear();
        for (int row = 0; row < sampled.Count; row++)
        {
            ReadOnlySpan<int> response = sampled.Response(row);
            _batch.Add([.. sampled.Prompt(row), .. response[..^1]], 1, 0);
            _hostLast[row] = response[^1];
        }
        Device device = _last.Buffer!.Device;
        device.Upload<int>(_hostLast, _last);
        _reference.Prefill(_batch, CacheLayout.Sequence);
        _state.Prefill(_batch);
        _state.ScoreNext(_last, isAfterPrompt: true, _outputs);
        device.Download<float>(_outputs, _hostOutputs);
        int atoms = _guide.Settings.Family.Atoms;
        for (int row = 0; row < sampled.Count; row++) scores[row] = _guide.Settings.Family.Mean(_hostOutputs.AsSpan(row * atoms, atoms));
    }

    public void Dispose()
    {
        _state.Dispose();
        _reference.Dispose();
        _memory.Dispose();
    }
}
