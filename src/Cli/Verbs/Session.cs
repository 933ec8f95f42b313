using System.CommandLine;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What collect, train and evaluate start from: a device, the experiment, a reference and perhaps a guide for it.</summary>
internal sealed class Session : IDisposable
{
    private readonly Device _device;

    /// <param name="model">Folder of the reference.</param>
    /// <param name="guide">Folder of the guide, or null.</param>
    public Session(ParseResult parsed, CommonOptions common, StarGraphRecipe recipe, string model, string? guide, CancellationToken stop)
    {
        (_device, Ops) = common.Open(parsed);
        Experiment = new StarGraphExperiment(Ops, recipe, common.Seed(parsed), common.Progress(parsed), stop);
        Reference = ModelFolder.LoadLanguageModel(Ops, model, Experiment.Task);
        if (guide is not null) Guide = ModelFolder.LoadValueModel(Ops, guide, Experiment.Task, ModelFolder.Fingerprint(Reference));
    }

    public Ops Ops { get; }

    public StarGraphExperiment Experiment { get; }

    public LanguageModel Reference { get; }

    public ValueModel? Guide { get; }

    public void Dispose()
    {
        Guide?.Dispose();
        Reference.Dispose();
        _device.Dispose();
    }
}
