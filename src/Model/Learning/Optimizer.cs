using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>How a run's learning rate moves.</summary>
/// <param name="Peak">Learning rate after warm-up.</param>
/// <param name="Warmup">Steps of linear rise.</param>
/// <param name="FinalShare">What is left of the peak at the last step, by a cosine; 1 stays constant.</param>
public sealed record LearningRate(float Peak, int Warmup, int Steps, float FinalShare = 1)
{
    /// <param name="step">From 1.</param>
    public float At(int step)
    {
        if (step < Warmup) return Peak * step / Warmup;
        if (FinalShare >= 1 || Steps <= Warmup) return Peak;
        double progress = Math.Clamp((step - Warmup) / (double)(Steps - Warmup), 0, 1);
        return (float)(Peak * (FinalShare + (1 - FinalShare) * 0.5 * (1 + Math.Cos(Math.PI * progress))));
    }
}

/// <param name="RoundsStochastically">How BF16 copies of the weights are rounded; see <see cref="AdamWSettings"/>.</param>
public sealed record OptimizerSettings(
    LearningRate Rate, float Beta1 = 0.9f, float Beta2 = 0.99f, float Epsilon = 1e-8f, float WeightDecay = 0, float ClipNorm = 1,
    bool RoundsStochastically = false);

/// <summary>
/// Parameters in training: weights, gradients and AdamW's moments, all in one layout. Where the model computes with BF16
/// matrices, the optimizer keeps them in F32 too, and rounds them anew after each step.
/// </summary>
public abstract class Optimizer : IDisposable
{
    private readonly Ops _ops;
    private readonly OptimizerSettings _settings;
    private readonly List<DeviceBuffer> _memory = [];
    private readonly Tensor _schedule, _clip;

    /// <param name="layout">Makes the parameters' layout in an arena.</param>
    private protected Optimizer(Ops ops, Func<Arena, Parameters> layout, Parameters weights, OptimizerSettings settings)
    {
        _ops = ops;
        _settings = settings;
        Rounded = weights;
        Weights = weights;
        try
        {
            if (weights.MatrixType != DType.F32)
            {
                Weights = Build(layout);
                Initializer.CopyShared(ops, weights, Weights);
            }
            Gradients = Build(layout);
            FirstMoment = Build(layout);
            SecondMoment = Build(layout);
            (_schedule, _clip) = Build(arena => (arena.Take(4), arena.Take(2)));
        }
        catch
        {
            Dispose();   // a card that is too small for all of it has room again
            throw;
        }
    }

    /// <summary>The F32 weights that are trained: the model's own, or the masters of BF16 ones.</summary>
    public Parameters Weights { get; }

    /// <summary>The weights that the model computes with.</summary>
    public Parameters Rounded { get; }

    public Parameters Gradients { get; }

    public Parameters FirstMoment { get; }

    public Parameters SecondMoment { get; }

    /// <summary>
    /// Rounds the weights for the model as a step did, after these were loaded and before the moments are: an update at rate 0
    /// leaves them as they are, and draws the step's own random numbers.
    /// </summary>
    /// <param name="step">The step that the weights come from.</param>
    public void RoundWeights(int step)
    {
        if (ReferenceEquals(Rounded, Weights)) return;
        ZeroGradients();
        Begin(Math.Max(step, 1), rate: 0);
        Update();
    }

    public void ZeroGradients() => _ops.Fill(Gradients.All, 0f);

    /// <summary>Sets the learning rate and the moments' corrections of a step; not part of what is recorded.</summary>
    /// <param name="step">From 1.</param>
    public void Begin(int step) => Begin(step, _settings.Rate.At(step));

    private void Begin(int step, float rate)
    {
        ReadOnlySpan<float> schedule =
        [
            rate,
            (float)(1 - Math.Pow(_settings.Beta1, step)),
            (float)(1 - Math.Pow(_settings.Beta2, step)),
            step,
        ];
        _ops.Device.Upload(schedule, _schedule);
    }

    /// <summary>One AdamW step from the gradients as they stand, clipped to the settings' norm.</summary>
    public void Update()
    {
        _ops.GlobalNorm(Gradients.All, _settings.ClipNorm, _clip);
        AdamWSettings adam = new(_settings.Beta1, _settings.Beta2, _settings.Epsilon, _settings.WeightDecay, _settings.RoundsStochastically);
        bool hasMasters = !ReferenceEquals(Rounded, Weights);
        _ops.AdamW(
            Weights.Matrices, Gradients.Matrices, FirstMoment.Matrices, SecondMoment.Matrices, adam, _schedule, _clip,
            hasMasters ? Rounded.Matrices : Tensor.None);
        _ops.AdamW(Weights.Vectors, Gradients.Vectors, FirstMoment.Vectors, SecondMoment.Vectors, adam with { WeightDecay = 0 }, _schedule, _clip, Tensor.None);
        if (hasMasters) _ops.Copy(Weights.Vectors, Rounded.Vectors);
    }

    public void Dispose()
    {
        foreach (DeviceBuffer memory in _memory) memory.Dispose();
    }

    private T Build<T>(Func<Arena, T> layout)
    {
        (T value, DeviceBuffer memory) = Arena.Build(_ops.Device, layout);
        _memory.Add(memory);
        return value;
    }
}

/// <inheritdoc/>
/// <param name="layout">Makes the F32 parameters in an arena.</param>
/// <param name="weights">The model's.</param>
public sealed class Optimizer<T>(Ops ops, Func<Arena, T> layout, T weights, OptimizerSettings settings) : Optimizer(ops, layout, weights, settings)
    where T : Parameters
{
    public new T Gradients => (T)base.Gradients;
}
