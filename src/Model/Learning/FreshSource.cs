using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Responses of the policy itself to new prompts of the post-training split, each with its reward. Sample i of a batch is a
/// function of (key, batch, i) and of the policy's weights alone.
/// </summary>
/// <param name="Samples">Of each prompt, neighbours in a batch.</param>
/// <param name="StepsPerSample">Steps on the same samples.</param>
/// <param name="IsGreedy">Takes the likeliest token, as the official star-graph code does, instead of drawing at temperature 1.</param>
public sealed record FreshSettings(int Rows, int Samples = 1, int StepsPerSample = 1, bool IsGreedy = false);

/// <inheritdoc cref="FreshSettings"/>
public sealed class FreshSource : IBatchSource, IDisposable
{
    private const uint NoiseStream = 0x40;

    private readonly ITask _task;
    private readonly FreshSettings _settings;
    private readonly ulong _problemKey, _noiseKey;
    private readonly Sampler _sampler;
    private readonly SampleBatch _samples;
    private readonly float[] _rewards;
    private readonly int[] _tokens;
    private int _drawn = -1;

    /// <param name="problemKey">Of the post-training split's problems.</param>
    public FreshSource(ITask task, LanguageModel policy, FreshSettings settings, ulong problemKey)
    {
        _task = task;
        _settings = settings;
        _problemKey = problemKey;
        _noiseKey = Philox.Key(problemKey, NoiseStream);
        SamplerShape shape = new(settings.Rows, task.PromptLimit, task.ResponseLimit, Vocabulary: task.Vocabulary);
        _sampler = new Sampler(policy, null, new FusedGuidance(policy.Ops), shape, task.Stops);
        _samples = new SampleBatch(settings.Rows, task.PromptLimit, task.ResponseLimit);
        _rewards = new float[settings.Rows];
        _tokens = new int[Time];
    }

    public int Time => _task.PromptLimit + _task.ResponseLimit;

    public int LossesPerRow => _task.ResponseLimit;

    public int StepsPerSample => _settings.StepsPerSample;

    public void Fill(int step, TrainBatch batch)
    {
        int number = (step - 1) / StepsPerSample;
        if (number != _drawn) Draw(number);
        for (int row = 0; row < _settings.Rows; row++)
        {
            ReadOnlySpan<int> prompt = _samples.Prompt(row), response = _samples.Response(row);
            prompt.CopyTo(_tokens);
            response.CopyTo(_tokens.AsSpan(prompt.Length));
            batch.SetRow(
                row, _tokens.AsSpan(0, prompt.Length + response.Length), prompt.Length, bidirectional: 0, readsAtToken: false, _rewards[row],
                1f / _settings.Rows);
        }
    }

    public void Dispose() => _sampler.Dispose();

    private void Draw(int number)
    {
        int rows = _settings.Rows, prompts = rows / _settings.Samples;
        Problem[] problems = new Problem[prompts];
        _samples.Clear();
        for (int row = 0; row < rows; row++)
        {
            int at = row / _settings.Samples;
            if (row % _settings.Samples == 0) problems[at] = _task.Problem(Split.PostTrain, _problemKey, (long)number * prompts + at);
            _samples.Add(problems[at].Prompt, _task.ResponseLimit, row);
        }
        _sampler.Run(_samples, GuidanceRule.Reference(_settings.IsGreedy ? 0 : 1), Philox.Key(_noiseKey, (uint)number));
        for (int row = 0; row < rows; row++) _rewards[row] = _task.Reward(problems[row / _settings.Samples], _samples.Response(row));
        _drawn = number;
    }
}
