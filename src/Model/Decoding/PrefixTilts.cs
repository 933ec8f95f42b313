using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// ln W of the text that each row goes on from, which a step weighs its candidates against (method notes §3.3). It is the tilt of the
/// token drawn last; of a row that starts, that of the prompt, where the guide has one; after a token from outside of the candidates,
/// whose tilt is a rule's and not the guide's, it is not known.
/// </summary>
internal sealed class PrefixTilts : IDisposable
{
    private readonly Ops _ops;
    private readonly bool _hasPromptValue;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _tiltRows, _promptLogits, _promptTilts;
    private readonly float[] _hostPromptTilts;

    public PrefixTilts(Ops ops, ValueSettings guide, int rows)
    {
        _ops = ops;
        _hasPromptValue = guide.HasPromptValue;
        ((Rows, _tiltRows, _promptLogits, _promptTilts), _memory) = Arena.Build(ops.Device, arena => (
            arena.Take(rows), arena.Take(rows, DType.I32), arena.Take((rows, guide.Family.Atoms)), arena.Take((rows, 1))));
        _hostPromptTilts = new float[rows];
        _hostPromptTilts.AsSpan().Fill(float.NaN);
        int[] tiltRows = [.. Enumerable.Range(0, rows).Select(row => row * SampleStatistics.Count + SampleStatistics.ChosenTilt)];
        try
        {
            ops.Device.Upload<int>(tiltRows, _tiltRows);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[R]; NaN where not known.</summary>
    public Tensor Rows { get; }

    /// <summary>Marks the rows that drew a token from outside of the candidates.</summary>
    /// <returns>Whether there are any.</returns>
    public bool Forget(RowInputs inputs, DrawnRows drawn)
    {
        int outside = 0;
        for (int row = 0; row < inputs.HostRunning.Length; row++)
        {
            bool isOutside = inputs.HostRunning[row] != 0 && drawn.HostChosen[row] < 0;
            outside += inputs.HostOutside[row] = isOutside ? 1 : 0;
            if (isOutside) TiltOf(drawn, row) = float.NaN;
        }
        if (outside > 0) drawn.Upload();
        return outside > 0;
    }

    /// <summary>Gives the rows that start the tilt of their prompts, which the guide has read.</summary>
    public void Start(GuideState guide, GuidanceRule rule, Tensor weights, RowInputs inputs, DrawnRows drawn)
    {
        if (_hasPromptValue)
        {
            guide.ScorePrompts(_promptLogits);
            _ops.AtomTilt(_promptLogits, rule.Family, rule.Tilt, rule.Lambda, weights, _promptTilts);
            _ops.Device.Download<float>(_promptTilts, _hostPromptTilts);
        }
        for (int row = 0; row < _hostPromptTilts.Length; row++)
        {
            if (inputs.HostRunning[row] != 0) continue;
            TiltOf(drawn, row) = _hostPromptTilts[row];
            drawn.HostChosen[row] = -1;   // nothing to keep
        }
        drawn.Upload();
    }

    /// <summary>Takes them from what was drawn.</summary>
    public void Take(DrawnRows drawn)
    {
        Tensor statistics = drawn.Statistics;
        _ops.Gather(statistics.As(((int)statistics.Count, 1)), _tiltRows, Rows.As((Rows.Shape.D0, 1)));
    }

    public void Dispose() => _memory.Dispose();

    private static ref float TiltOf(DrawnRows drawn, int row) => ref drawn.HostStatistics[row * SampleStatistics.Count + SampleStatistics.ChosenTilt];
}
