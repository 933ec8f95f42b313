using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// The task of collect, train and evaluate: star-graph, a text task whose files have a known layout, or a JSON-lines file of prompts
/// and rules. With it go the model and all that the task's recipe leaves open.
/// </summary>
internal sealed class TaskOptions
{
    private readonly Option<string> _task = OptionFactory.Text(
        "--task", $"star-graph; {string.Join(", ", Catalog.TextTasks)} with the problems of a file; or a file with a prompt and a rule in each line (JSON).", Catalog.StarGraph);
    private readonly Option<string?> _model = OptionFactory.RequiredText("--model", "The reference: a folder, a GGUF file, or org/name from the local hub cache.");
    private readonly Option<int> _maxTokens = OptionFactory.Integer("--max-tokens", "Most tokens of a response to a text prompt.", 128, 1);
    private readonly Option<int> _rows = OptionFactory.Integer("--batch-rows", "Responses sampled side by side; 0 takes 256 for graphs and 32 for texts.", 0, 0);
    private readonly WeightsOption _weights;
    private readonly StarGraphOptions _graph;
    private readonly GuideOptions _guide;
    private readonly ProblemOptions? _problems;

    /// <param name="readsProblems">Whether the verb needs a task's problems; training on roll-outs does not.</param>
    public TaskOptions(Command verb, bool readsProblems = true)
    {
        foreach (Option option in (Option[])[_task, _model, _maxTokens, _rows]) verb.Options.Add(option);
        _problems = readsProblems ? new ProblemOptions(verb) : null;
        _weights = new WeightsOption(verb);
        _graph = new StarGraphOptions(verb);
        _guide = new GuideOptions(verb);
        Decoding = new DecodingOptions(verb);
    }

    public DecodingOptions Decoding { get; }

    public string Model(ParseResult parsed) => parsed.GetValue(_model)!;

    /// <summary>Loads the model and makes the experiment.</summary>
    /// <param name="guide">Folder of a guide for the model, or null.</param>
    public Session Open(ParseResult parsed, CommonOptions common, string? guide, CancellationToken stop)
    {
        (Device device, Ops ops) = common.Open(parsed);
        try
        {
            using ModelFiles files = ModelFiles.Open(Model(parsed));
            string name = parsed.GetValue(_task)!;
            bool isGraph = name == Catalog.StarGraph;
            TextTaskSettings text = _problems?.Settings(parsed, name, parsed.GetValue(_maxTokens)) ?? ProblemOptions.WithoutProblems(name, parsed.GetValue(_maxTokens));
            StarGraphRecipe? graph = isGraph ? _graph.Recipe(parsed) : null;
            ITask task = graph is not null ? new StarGraphTask(graph.Graph) : new TextTask(text, files);
            GuideRecipe recipe = Decoding.Apply(_guide.Apply(graph?.Guide ?? GuideRecipe.Text, parsed), parsed);
            int rows = parsed.GetValue(_rows) is var asked && asked > 0 ? asked : isGraph ? 256 : 32;
            Experiment experiment = new(ops, task, recipe, common.Seed(parsed), rows, common.Progress(parsed), stop);
            LanguageModel reference = ModelFolder.LoadLanguageModel(ops, files, task, _weights.Value(parsed));
            return new Session(device, experiment, reference, guide, common.Progress(parsed));
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    /// <summary>What shapes a guide's training, for config.json.</summary>
    public static JsonObject Settings(Experiment experiment)
    {
        JsonObject settings = GuideOptions.Describe(experiment.Recipe);
        settings["task"] = experiment.Task.Settings;
        return settings;
    }
}
