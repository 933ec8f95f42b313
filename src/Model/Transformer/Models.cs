using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A trunk with a head and the memory of its parameters.</summary>
public abstract class HeadedModel : IDisposable
{
    private readonly DeviceBuffer _memory;

    private protected HeadedModel(Ops ops, TransformerConfig config, HeadShape headShape, DType? matrixType)
    {
        Ops = ops;
        HeadShape = headShape;
        (Weights, _memory) = Arena.Build(ops.Device, arena => new Weights(config, headShape, matrixType ?? ops.Device.ActivationType, arena));
        try
        {
            Trunk = new Transformer(ops, config, Weights);
        }
        catch
        {
            _memory.Dispose();
            throw;
        }
    }

    public Ops Ops { get; }

    public Transformer Trunk { get; }

    public TransformerConfig Config => Trunk.Config;

    public Weights Weights { get; }

    /// <summary>Type of the activations: BF16 where the device keeps them so and the matrices are BF16, else F32.</summary>
    public DType ActivationType => Weights.MatrixType == Ops.Device.ActivationType ? Weights.MatrixType : DType.F32;

    public HeadShape HeadShape { get; }

    public abstract IHead Head { get; }

    public void Dispose()
    {
        Trunk.Dispose();
        _memory.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A language model: π_ref, or a policy in training.</summary>
public sealed class LanguageModel : HeadedModel
{
    /// <param name="matrixType">Element type of the matrices; null: the device's own, F32 on the CPU and BF16 on CUDA. On the CPU BF16 is for a model that is not trained.</param>
    public LanguageModel(Ops ops, TransformerConfig config, DType? matrixType = null) : base(ops, config, HeadShape.Language(config), matrixType)
    {
        Head = new LmHead(ops, Weights);
    }

    public override IHead Head { get; }
}

/// <summary>A guide with a trunk of its own: a transformer that reads the text as π_ref does.</summary>
public sealed class ValueModel : HeadedModel, IGuide
{
    public ValueModel(Ops ops, TransformerConfig config, ValueSettings settings, DType? matrixType = null)
        : base(ops, config, ValueHead.ShapeOf(settings, config), matrixType)
    {
        Settings = settings;
        Head = new ValueHead(ops, settings.Kind, settings.Family, Weights);
    }

    public ValueSettings Settings { get; }

    public override IHead Head { get; }

    public int Vocabulary => Config.Vocab;

    public long ParameterCount => Weights.Count;

    public int LongestText => Config.Position == Position.Learned ? Config.Context : int.MaxValue;

    public int ReferenceLayer => 0;

    GuideState IGuide.Open(CachedModel reference, SamplerShape shape, int candidates) => new OwnTrunkState(this, shape, candidates);
}
