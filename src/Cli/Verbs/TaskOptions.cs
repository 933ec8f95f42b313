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
        "--task", $"star-graph; {WordProblemTask.Name}; {string.Join(", ", Catalog.TextTasks)} with the problems of a file; or a file with a prompt and a rule in each line (JSON).", Catalog.StarGraph);
    private readonly Option<string?> _model = OptionFactory.RequiredText("--model", "The reference: a folder, a GGUF file, or org/name from the local hub cache.");
    private readonly Option<int> _maxTokens = OptionFactory.Integer("--max-tokens", "Most tokens of a response to a text prompt; 0 takes the task's (1,024 for gsm8k and math, 48 for word-problems, 128 else).", 0, 0, OptionFactory.MostTokens);
    private readonly Option<int> _rows = OptionFactory.Integer("--batch-rows", "Responses sampled side by side; 0 takes 256 for graphs and 32 for texts.", 0, 0, OptionFactory.MostRows);
    private readonly WeightsOption _weights;
    private readonly StarGraphOptions _graph;
    private readonly GuideOptions? _guide;

    /// <param name="problems">What the verb reads a task's problems for.</param>
    public TaskOptions(Command verb, ProblemUse problems = ProblemUse.All)
    {
        foreach (Option option in (Option[])[_task, _model, _maxTokens, _rows]) verb.Options.Add(option);
        Problems = new ProblemOptions(verb, problems);
        _weights = new WeightsOption(verb);
        _graph = new StarGraphOptions(verb, pretrains: false);
        if (problems is ProblemUse.All or ProblemUse.Policies) _guide = new GuideOptions(verb);
        Decoding = new DecodingOptions(verb);
    }

    public DecodingOptions Decoding { get; }

    public ProblemOptions Problems { get; }

    /// <summary>How a guide is learned; only of the verbs that learn one, or collect for one.</summary>
    public GuideOptions Guide => _guide ?? throw new InvalidOperationException("This verb learns no guide.");

    public string Model(ParseResult parsed) => parsed.GetValue(_model)!;

    /// <summary>The task as it was asked for: its name, or its file.</summary>
    public string Task(ParseResult parsed) => parsed.GetValue(_task)!;

    /// <summary>The task's name, or that of its file.</summary>
    public string Name(ParseResult parsed) => Path.GetFileNameWithoutExtension(Task(parsed));

    /// <summary>Loads the model and makes the experiment.</summary>
    /// <param name="guide">Folder of a guide for the model, or null.</param>
    /// <param name="learning">How a guide is learned, where one is.</param>
    /// <param name="eta">See <see cref="GuideRecipe.Eta"/>.</param>
    public Session Open(ParseResult parsed, CommonOptions common, string? guide, CancellationToken stop, LearningOptions? learning = null, double eta = double.PositiveInfinity)
    {
        string name = Task(parsed);
        TextTaskSettings text = TextSettings(parsed, name);   // refuses options that do nothing with the other tasks, too
        bool isGraph = name == Catalog.StarGraph;
        if (!isGraph) _graph.RequireNone(parsed, name);
        else if (parsed.IsGiven(_maxTokens)) throw new UserException($"--max-tokens does nothing with --task {name}, whose graphs say how long a response is; leave it out, or take another task.");
        if (_guide is null && guide is null) parsed.RequireNoGuided(Decoding.Guided);
        (Device device, Ops ops) = common.Open(parsed);
        InitialModel? initial = null;
        try
        {
            using ModelFiles files = ModelFiles.Open(Model(parsed));
            StarGraphRecipe? graph = isGraph ? _graph.Recipe(parsed) : null;
            ITask task = name switch
            {
                _ when graph is not null => new StarGraphTask(graph.Graph),
                WordProblemTask.Name => new WordProblemTask(files, MaxTokens(parsed, WordProblemTask.UsualResponseLimit)),
                _ => new TextTask(text, files),
            };
            GuideRecipe recipe = graph?.Guide ?? GuideRecipe.Text;
            if (_guide is not null) recipe = _guide.Apply(recipe, parsed);
            recipe = Decoding.Apply(recipe, parsed) with { Eta = eta };
            if (learning is not null) recipe = learning.Apply(recipe, parsed);
            initial = learning?.Initial(parsed, task, files);
            int rows = parsed.GetValue(_rows) is var asked && asked > 0 ? asked : isGraph ? 256 : 32;
            Experiment experiment = new(ops, task, recipe, common.Seed(parsed), rows, common.Progress(parsed), stop)
            {
                Initial = initial,
                ReferencePath = task.IsText ? files.Path : null,
            };
            LanguageModel reference = ModelFolder.LoadLanguageModel(ops, files, task, _weights.Value(parsed));
            return new Session(device, experiment, reference, guide, common.Progress(parsed));
        }
        catch
        {
            initial?.Dispose();
            device.Dispose();
            throw;
        }
    }

    private TextTaskSettings TextSettings(ParseResult parsed, string task) =>
        Problems.Settings(parsed, task, MaxTokens(parsed, task is "gsm8k" or "math" ? 1024 : 128));

    private int MaxTokens(ParseResult parsed, int usual) => parsed.GetValue(_maxTokens) is var asked && asked > 0 ? asked : usual;

    /// <summary>What shapes a guide's training, for config.json.</summary>
    public static JsonObject Settings(Experiment experiment)
    {
        JsonObject settings = GuideOptions.Describe(experiment.Recipe);
        settings["task"] = experiment.Task.Settings;
        return settings;
    }
}
