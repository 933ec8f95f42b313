using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What one draw by rejection reads and writes; see <see cref="GuidanceInputs"/> and <see cref="GuidanceOutputs"/>.</summary>
internal readonly record struct RejectionStep(Tensor RefLogits, Tensor Weights, Tensor Streams, Tensor Positions, GuidanceOutputs Outputs);

/// <summary>
/// Exact draws from π ∝ π_ref·W over the whole vocabulary, no top-K (method notes §3.5): y is drawn from π_ref and accepted
/// with probability W(x, y) / max W. A round makes several proposals a row, which the value model scores as siblings in one
/// pass; rows that have accepted sit out the rounds that others still need. ln Z, ln π and KL are estimates here, without bias
/// (<see cref="RejectionEstimate"/>); they are exact only where every token is scored.
/// </summary>
internal sealed class RejectionSampling : IDisposable
{
    /// <summary>Proposals of a row in one round.</summary>
    public const int Proposals = 16;

    // A row that accepts none of these has a prefix that the guide thinks hopeless at this η.
    private const int MostRounds = 6250;
    private const uint AcceptStream = 0x4000_0000;

    private readonly Ops _ops;
    private readonly ValueModel _guide;
    private readonly CachedModel _cache;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _next, _ignored, _statistics, _proposals, _valueLogits, _tilts, _counts, _chosen;
    private readonly int[] _hostNext, _hostProposals, _hostCounts, _hostChosen, _drawnTokens;
    private readonly float[] _hostStatistics, _hostTilts, _drawnStatistics, _bounds;
    private readonly double[] _weights;
    private readonly RejectionEstimate[] _estimates;

    /// <param name="guide">V-type: a Q-type guide has the tilts of all tokens at once, and needs no rejection.</param>
    public RejectionSampling(ValueModel guide, CachedModel cache, int rows)
    {
        _ops = guide.Ops;
        _guide = guide;
        _cache = cache;
        ((_next, _ignored, _statistics, _proposals, _valueLogits, _tilts, _counts, _chosen), _memory) = Arena.Build(_ops.Device, arena => (
            arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take((rows, SampleStatistics.Count)), arena.Take((rows, Proposals), DType.I32),
            arena.Take((rows, Proposals, guide.Head.Outputs)), arena.Take((rows, Proposals)), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32)));
        _hostNext = new int[rows];
        _hostProposals = new int[rows * Proposals];
        _hostCounts = new int[rows];
        _hostChosen = new int[rows];
        _drawnTokens = new int[rows];
        _hostStatistics = new float[Proposals * rows * SampleStatistics.Count];
        _hostTilts = new float[rows * Proposals];
        _drawnStatistics = new float[rows * SampleStatistics.Count];
        _bounds = new float[rows];
        _weights = new double[Proposals];
        _estimates = new RejectionEstimate[rows];
    }

    /// <summary>Whether it draws from a rule: temperature and top-p shape the proposals, and a proposal is accepted by chance.</summary>
    public static bool Draws(GuidanceRule rule) => rule.Order == Order.TemperThenTilt && rule.Temperature > 0;

    /// <summary>Draws the next token of the rows that run. Each one's column stays in the value model's cache, not yet counted.</summary>
    /// <param name="positions">Of each row's token.</param>
    /// <param name="running">1 for each row that runs, else 0.</param>
    /// <param name="weights">What step.Weights holds, [R, returns]; not read unless the tilt is weighted.</param>
    /// <param name="stop">Looked at before each round.</param>
    /// <exception cref="UserException">A row accepted none of 100,000 proposals, or the guide's value of one is not a number.</exception>
    public void Draw(
        in RejectionStep step, GuidanceRule rule, ulong key, ReadOnlySpan<int> positions, ReadOnlySpan<int> streams, ReadOnlySpan<int> running,
        float[] weights, CancellationToken stop)
    {
        int rows = _hostNext.Length, pending = 0;
        for (int row = 0; row < rows; row++)
        {
            pending += running[row];
            _hostCounts[row] = running[row] * Proposals;
        }
        Array.Clear(_estimates);
        _bounds.AsSpan().Fill(rule.Lambda * (rule.Lambda > 0 ? rule.Family.Max : rule.Family.Min));
        if (rule.Tilt == Tilt.Weighted)
            for (int row = 0; row < rows; row++) _bounds[row] = Largest(weights.AsSpan(row * rule.Family.Returns, rule.Family.Returns));
        for (int round = 0; pending > 0; round++)
        {
            stop.ThrowIfCancellationRequested();
            if (round == MostRounds)
                throw new UserException($"--candidates all: none of {MostRounds * Proposals:N0} proposals was accepted, so the guide sees next to no chance at this η; take a larger --eta, or a number of candidates.");
            Propose(step, rule, key, round);
            Score(step.Weights, rule);
            pending -= Accept(key, round, positions, streams);
            // The next round's proposals go where this one's lie, but not over a column that is kept.
            _ops.Device.Upload<int>(_hostChosen, _chosen);
            _guide.Trunk.KeepSibling(_cache.Cache, _chosen);
        }
        Finish(step.Outputs, running);
    }

    /// <summary>Counts the drawn tokens, whose columns are in the guide's cache already.</summary>
    public void Take(Tensor running) => _ops.Advance(_cache.Cache.Lengths, running, 1);

    public void Dispose() => _memory.Dispose();

    /// <summary>Independent draws from π_ref as temperature and top-p shape it.</summary>
    private void Propose(in RejectionStep step, GuidanceRule rule, ulong key, int round)
    {
        GuidanceRule reference = GuidanceRule.Reference(rule.Temperature, rule.TopP);
        int rows = _hostNext.Length;
        for (int i = 0; i < Proposals; i++)
        {
            _ops.TiltedSample(
                step.RefLogits, Tensor.None, Tensor.None, Tensor.None, Tensor.None, step.Streams, step.Positions, reference,
                Philox.Key(key, (uint)(1 + round * Proposals + i)), _next, _ignored, _statistics);
            _ops.Device.Download<int>(_next, _hostNext);
            _ops.Device.Download<float>(_statistics, _hostStatistics.AsSpan(i * rows * SampleStatistics.Count, rows * SampleStatistics.Count));
            for (int row = 0; row < rows; row++) _hostProposals[row * Proposals + i] = _hostNext[row];
        }
        _ops.Device.Upload<int>(_hostProposals, _proposals);
    }

    private void Score(Tensor weights, GuidanceRule rule)
    {
        _ops.Device.Upload<int>(_hostCounts, _counts);
        _cache.ScoreNext(_proposals, _counts, _valueLogits);
        _ops.AtomTilt(_valueLogits, rule.Family, rule.Tilt, rule.Lambda, weights, _tilts);
        _ops.Device.Download<float>(_tilts, _hostTilts);
    }

    /// <returns>How many rows have accepted a proposal.</returns>
    private int Accept(ulong key, int round, ReadOnlySpan<int> positions, ReadOnlySpan<int> streams)
    {
        int rows = _hostNext.Length, columns = SampleStatistics.Count, accepted = 0;
        ulong acceptKey = Philox.Key(key, AcceptStream + (uint)round);
        for (int row = 0; row < rows; row++)
        {
            _hostChosen[row] = -1;
            if (_hostCounts[row] == 0) continue;
            for (int i = 0; i < Proposals; i++)
            {
                int at = row * Proposals + i;
                if (float.IsNaN(_hostTilts[at]))
                    throw new UserException("--candidates all: the guide's value of a token is not a number, as after a training that diverged; train the guide anew with a smaller --learning-rate.");
                _weights[i] = Math.Min(1, Math.Exp(_hostTilts[at] - _bounds[row]));   // 0 for a token that no return with weight can follow
                (uint word, _, _, _) = Philox.Block(acceptKey, (uint)streams[row], (uint)positions[row], (uint)i, 0);
                if (_hostChosen[row] >= 0 || Philox.Uniform(word) >= _weights[i]) continue;
                _hostChosen[row] = i;
                _drawnTokens[row] = _hostProposals[at];
                _hostStatistics.AsSpan((i * rows + row) * columns, columns).CopyTo(_drawnStatistics.AsSpan(row * columns));
                _drawnStatistics[row * columns + SampleStatistics.ChosenTilt] = _hostTilts[at];
            }
            _estimates[row].Add(_weights, _hostTilts.AsSpan(row * Proposals, Proposals));
            if (_hostChosen[row] < 0) continue;
            _hostCounts[row] = 0;
            accepted++;
        }
        return accepted;
    }

    private static float Largest(ReadOnlySpan<float> values)
    {
        float largest = float.NegativeInfinity;
        foreach (float value in values) largest = MathF.Max(largest, value);
        return largest;
    }

    private void Finish(in GuidanceOutputs outputs, ReadOnlySpan<int> running)
    {
        for (int row = 0; row < _drawnTokens.Length; row++)
        {
            if (running[row] == 0) continue;
            Span<float> statistics = _drawnStatistics.AsSpan(row * SampleStatistics.Count, SampleStatistics.Count);
            double logNormalizer = _bounds[row] + _estimates[row].LogMeanWeight;
            statistics[SampleStatistics.LogPolicy] = (float)(statistics[SampleStatistics.LogReference] + statistics[SampleStatistics.ChosenTilt] - logNormalizer);
            statistics[SampleStatistics.LogNormalizer] = (float)logNormalizer;
            // Without bias, so it can be below 0.
            statistics[SampleStatistics.Kl] = (float)(_estimates[row].MeanTilt - logNormalizer);
        }
        _ops.Device.Upload<int>(_drawnTokens, outputs.Next);
        _ops.Device.Upload<float>(_drawnStatistics, outputs.Statistics);
    }
}
