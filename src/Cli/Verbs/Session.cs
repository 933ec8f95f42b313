using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What collect, train and evaluate start from: a device, the experiment, a reference and perhaps a guide for it.</summary>
internal sealed class Session : IDisposable
{
    private readonly Device _device;
    private readonly IProgressSink _progress;

    /// <param name="guide">Folder of the guide, or null.</param>
    public Session(Device device, Experiment experiment, LanguageModel reference, string? guide, IProgressSink progress)
    {
        _device = device;
        _progress = progress;
        Experiment = experiment;
        Reference = reference;
        if (guide is null) return;
        (Guide, GuideOrigin origin) = GuideFolder.Load(reference, guide, experiment.Task.Fingerprint, experiment.Task.Vocabulary);
        Admit(Guide, origin, guide, experiment.Recipe, progress);
    }

    public Experiment Experiment { get; }

    public LanguageModel Reference { get; }

    public IGuide? Guide { get; }

    /// <summary>
    /// Refuses a guide that cannot decode as it is asked to. A guide says what to expect of π_ref as it was sampled; at other
    /// settings its values are of another policy, which is noted.
    /// </summary>
    public static void Admit(IGuide guide, GuideOrigin origin, string folder, GuideRecipe recipe, IProgressSink progress)
    {
        recipe.RequireDraws(guide.Settings);
        if (recipe.Temperature == origin.Temperature && recipe.TopP == origin.TopP) return;
        progress.Note(FormattableString.Invariant(
            $"{folder}: this guide was trained at temperature {origin.Temperature} and top-p {origin.TopP}, and is used at {recipe.Temperature} and {recipe.TopP}; its values are those of the former."));
    }

    /// <summary>Notes that responses to the task's problems may run past the reference's context; for verbs that draw some.</summary>
    public void NoteContext() => ContextNote.Say(_progress, Experiment.Task.PromptLimit + Experiment.Task.ResponseLimit, Reference.Config);

    public void Dispose()
    {
        Guide?.Dispose();
        Experiment.Initial?.Dispose();
        Reference.Dispose();
        _device.Dispose();
    }
}
