using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A guide as a reward model of finished responses (method notes §2.8): E[Z(x, y)] at the last token, whoever wrote the response.
/// </summary>
public sealed class GuideJudge : IDisposable
{
    private readonly IGuide _guide;
    private readonly TextWalk _walk;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _last, _outputs;
    private readonly int[] _hostLast;
    private readonly float[] _hostOutputs;

    /// <param name="tokens">The longest prompt and response together.</param>
    public GuideJudge(LanguageModel reference, IGuide guide, int rows, int tokens)
    {
        _guide = guide;
        _walk = new TextWalk(reference, guide, new SamplerShape(rows, tokens, NewTokens: 1), candidates: 1);
        ((_last, _outputs), _memory) = Arena.Build(reference.Ops.Device, arena =>
            (arena.Take((rows, 1), DType.I32), arena.Take((rows, 1, guide.Settings.Family.Atoms))));
        _hostLast = new int[rows];
        _hostOutputs = new float[rows * guide.Settings.Family.Atoms];
    }

    /// <summary>The score of each response, no more than there are rows.</summary>
    /// <param name="texts">Prompts and responses.</param>
    public double[] Score(IReadOnlyList<(int[] Prompt, int[] Response)> texts)
    {
        int atoms = _guide.Settings.Family.Atoms;
        _walk.Clear();
        for (int row = 0; row < texts.Count; row++)
        {
            (int[] prompt, int[] response) = texts[row];
            _walk.Add([.. prompt, .. response[..^1]]);
            _hostLast[row] = response[^1];
        }
        Device device = _last.Buffer!.Device;
        device.Upload<int>(_hostLast, _last);
        _walk.Start();
        _walk.Guide.ScoreNext(_last, _outputs);
        device.Download<float>(_outputs, _hostOutputs);
        return [.. Enumerable.Range(0, texts.Count).Select(row => (double)_guide.Settings.Family.Mean(_hostOutputs.AsSpan(row * atoms, atoms)))];
    }

    public void Dispose()
    {
        _walk.Dispose();
        _memory.Dispose();
    }
}
