using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>How a guide's data was sampled, for a learner that asks π_ref what could have come next.</summary>
/// <param name="Vocabulary">Ids that may be drawn, the first of π_ref's.</param>
/// <param name="Candidates">K: the likeliest tokens that are asked about.</param>
public readonly record struct NextTokenLaw(float Temperature, float TopP, int Vocabulary, int Candidates);

/// <summary>
/// A guide that learns the mean of its own next values in place of the reward (CD-Q, Mudgal et al. 2024, method notes §4.1): before
/// the last token v̇_t = Σ_z π_ref(z | x, y^t) V(x, y^t, z), at the last one R. The sum is over the K likeliest tokens of π_ref,
/// renormalised; with K of the vocabulary it is whole. The values are those of the guide as it is, without a gradient; each step
/// walks its rows as decoding does, one pass of π_ref and one of K siblings a token.
/// </summary>
public sealed class NextValueLearner : ModelLearner
{
    private readonly ReturnFamily _family;
    private readonly NextTokenLaw _law;
    private readonly int _k;
    private readonly NextTokens _tokens;
    private readonly TextWalk _walk;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _values, _next, _chosen, _running, _outside;
    private readonly int[] _hostCandidates, _hostNext, _hostChosen, _hostRunning, _hostOutside, _starts;
    private readonly float[] _hostValues;
    private readonly double[] _shares;

    public NextValueLearner(
        LanguageModel reference, NextTokenLaw law, ValueModel guide, Method method, IBatchSource source, OptimizerSettings settings, BatchSize size, RolloutRows? heldOut)
        : base(guide, method, source, settings, size, heldOut)
    {
        (_law, _family) = (law, guide.Settings.Family);
        int rows = size.Rows, time = Longest;
        _k = law.Candidates == GuideRecipe.AllCandidates ? law.Vocabulary : Math.Min(law.Candidates, law.Vocabulary);
        int k = _k;
        try
        {
            if (k > GuidanceRule.MostCandidates)
                throw new UserException($"--candidates all: the values of all {k} tokens would be asked for at each place of a text, and no more than {GuidanceRule.MostCandidates} can be; give a number of them.");
            _walk = new TextWalk(reference, guide, new SamplerShape(rows, time, time, k), k);
            ((_tokens, _values, _next, _chosen, _running, _outside), _memory) = Arena.Build(Ops.Device, arena => (
                new NextTokens(reference, rows, law.Vocabulary, k, arena), arena.Take((rows, k, _family.Atoms)),
                arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32)));
        }
        catch
        {
            _walk?.Dispose();
            base.Dispose();
            throw;
        }
        (_hostCandidates, _hostValues, _shares) = (new int[rows * k], new float[rows * k * _family.Atoms], new double[k]);
        (_hostNext, _hostChosen, _hostRunning, _hostOutside) = (new int[rows], new int[rows], new int[rows], new int[rows]);
        _starts = new int[rows];
    }

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        _walk.Clear();   // the guide has changed since the last step
        int steps = 0;
        for (int row = 0; row < Batch.Rows; row++)
        {
            ReadOnlySpan<int> text = Batch.TextOf(row, out int bidirectional);
            // What is read at once: the prompt where it is bidirectional, else all up to the first token with loss.
            _starts[row] = bidirectional > 0 ? bidirectional : Math.Min(text.Length - Batch.LossesOf(row).Count + 1, text.Length - 1);
            _walk.Add(text[.._starts[row]]);
            steps = Math.Max(steps, text.Length - _starts[row]);
        }
        _walk.Start();
        for (int i = 0; i < steps; i++)
        {
            ScoreNext();
            for (int row = 0; row < Batch.Rows; row++) SetTarget(row, _starts[row] + i);
            if (i + 1 < steps) Take(i);
        }
        return tokens;
    }

    public override void Dispose()
    {
        _walk.Dispose();
        _memory.Dispose();
        base.Dispose();
    }

    private void ScoreNext()
    {
        _tokens.Read(_walk.Reference.Hidden, _law.Temperature, _law.TopP);
        _walk.Guide.ScoreNext(_tokens.Candidates, _values);
        Ops.Device.Download<int>(_tokens.Candidates, _hostCandidates);
        Ops.Device.Download<float>(_values, _hostValues);
    }

    /// <summary>The target of the last of <paramref name="length"/> tokens, where it bears loss and is not the last of all.</summary>
    private void SetTarget(int row, int length)
    {
        int tokens = Batch.TextOf(row, out _).Length;
        (int start, int count) = Batch.LossesOf(row);
        int loss = length - 1 - (tokens - count);
        if (loss < 0 || length >= tokens) return;
        double mean = 0;
        _tokens.Shares(row, _shares);
        for (int k = 0; k < _k; k++)
            if (_shares[k] > 0) mean += _shares[k] * _family.Mean(_hostValues.AsSpan((row * _k + k) * _family.Atoms, _family.Atoms));
        Batch.LossReturns[start + loss] = (float)mean;
    }

    /// <summary>Every row goes on with its own next token, whether or not it is one of the candidates.</summary>
    private void Take(int step)
    {
        bool hasOutside = false;
        for (int row = 0; row < _hostRunning.Length; row++)
        {
            (_hostRunning[row], _hostOutside[row], _hostChosen[row], _hostNext[row]) = (0, 0, -1, 0);
            if (row >= Batch.Rows) continue;
            ReadOnlySpan<int> text = Batch.TextOf(row, out _);
            int at = _starts[row] + step;
            if (at + 1 >= text.Length) continue;   // after the last token nothing is asked
            (_hostRunning[row], _hostNext[row]) = (1, text[at]);
            _hostChosen[row] = _hostCandidates.AsSpan(row * _k, _k).IndexOf(text[at]);
            if (_hostChosen[row] < 0) (_hostOutside[row], hasOutside) = (1, true);
        }
        Device device = Ops.Device;
        device.Upload<int>(_hostNext, _next);
        device.Upload<int>(_hostChosen, _chosen);
        device.Upload<int>(_hostRunning, _running);
        device.Upload<int>(_hostOutside, _outside);
        _walk.Take(_next, _chosen, _running, hasOutside ? _outside : Tensor.None);
    }
}
