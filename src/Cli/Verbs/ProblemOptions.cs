using System.CommandLine;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What a verb reads a task's problems for.</summary>
internal enum ProblemUse
{
    /// <summary>To learn from and to test on.</summary>
    All,

    /// <summary>To test on those that are not learned from, with a guide that is finished.</summary>
    Evaluation,

    /// <summary>To test on, where there are any.</summary>
    Tests,

    /// <summary>For a policy that samples answers to them. Their option is --problems, for --data is a folder of roll-outs.</summary>
    Policies,
}

/// <summary>Where a text task's problems lie and how they are put to the model.</summary>
internal sealed class ProblemOptions
{
    private readonly Option<string?> _data;
    private readonly Option<string?> _testData = OptionFactory.OptionalText("--test-data", "Problems to test on, all of the file.");
    private readonly Option<string> _chat = OptionFactory.Choice(
        "--chat-template", "auto: a problem is a user's message where the model has a chat template; none: plain text.", "auto", "auto", "none");
    private readonly Option<bool> _stepByStep = OptionFactory.Flag("--cot", "Ask for step-by-step thinking (gsm8k, math).");
    private readonly Option<bool> _truncate = OptionFactory.Flag("--truncate-passage", "Cut a passage that is too long for the context from the left (quality); else it is an error.");

    private readonly ProblemUse _use;

    public ProblemOptions(Command verb, ProblemUse use)
    {
        _use = use;
        string who = use == ProblemUse.Policies ? "For policies: problems" : "Problems";
        _data = OptionFactory.OptionalText(
            use == ProblemUse.Policies ? "--problems" : "--data",
            $"{who} of {string.Join(", ", Catalog.TextTasks)} (JSON lines): nine tenths to learn from and one to test on, or all to learn from with --test-data.");
        foreach (Option option in (Option[])[.. use == ProblemUse.Tests ? (Option[])[] : [_data], _testData, _chat, _stepByStep, _truncate]) verb.Options.Add(option);
    }

    /// <exception cref="UserException">A file is missing, or an option has no effect on the task.</exception>
    public TextTaskSettings Settings(ParseResult parsed, string task, int maxTokens)
    {
        bool isKnown = Catalog.TextTasks.Contains(task);
        string? data = Data(parsed), test = parsed.GetValue(_testData);
        bool stepByStep = parsed.GetValue(_stepByStep), truncate = parsed.GetValue(_truncate), useChat = parsed.GetValue(_chat) == "auto";
        if (isKnown && data is null && test is null && _use is ProblemUse.All or ProblemUse.Evaluation) throw new UserException($"--task {task} reads its problems from files; give --data or --test-data.");
        if (!isKnown && data is not null) throw Unused(_data);
        if (!isKnown && (test is not null || !useChat)) throw Unused(test is not null ? (Option)_testData : _chat);
        if (stepByStep && task is not ("gsm8k" or "math")) throw Unused(_stepByStep);
        if (truncate && task != "quality") throw Unused(_truncate);
        return new TextTaskSettings(isKnown ? task : null, isKnown ? data : task, test, maxTokens, useChat, stepByStep, truncate);

        UserException Unused(Option option) => new($"{option.Name} does nothing with --task {task}; leave it out, or take a task that it belongs to ({string.Join(", ", Catalog.TextTasks)}).");
    }

    /// <summary>Refuses a task without problems where some are needed.</summary>
    public void RequireProblems(ParseResult parsed, string task, string method)
    {
        if (Catalog.TextTasks.Contains(task) && Data(parsed) is null)
            throw new UserException($"--method {method} needs the problems of --task {task}; give their file with {_data.Name}.");
    }

    /// <summary>Refuses the options where no problems are read.</summary>
    public void RequireNone(ParseResult parsed, string method)
    {
        if (parsed.FirstGiven(_data, _testData, _chat, _stepByStep, _truncate) is { } given)
            throw new UserException($"{given.Name} is about the problems of policies, and --method {method} learns from roll-outs alone; leave it out.");
    }

    private string? Data(ParseResult parsed) => _use == ProblemUse.Tests ? null : parsed.GetValue(_data);
}
