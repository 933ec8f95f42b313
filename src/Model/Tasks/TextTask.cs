using System.Security.Cryptography;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Problems of JSON-lines files, for the model's own tokens: of a known task (gsm8k, math, quality), or a prompt and a rule in each
/// line. A single file of a known task is split by a hash of what is asked, nine tenths to learn from and one to test on; a file of
/// rules is one split; with two files each is whole.
/// </summary>
public sealed class TextTask : ITask
{
    private readonly TaskText _text;
    private readonly TextProblem[] _training = [], _test = [];
    private readonly TextTaskSettings _settings;
    private readonly string _files;

    /// <param name="settings">With no file at all the task judges and names, but has no problems: enough to train on roll-outs.</param>
    /// <param name="model">Whose tokenizer, chat template and end tokens are used.</param>
    /// <exception cref="UserException">A file cannot be read, or a line is no problem.</exception>
    public TextTask(TextTaskSettings settings, ModelFiles model)
    {
        _settings = settings;
        _text = new TaskText(model);
        ProblemFile? data = settings.Data is { } path ? ProblemFile.Read(path, settings, model) : null;
        ProblemFile? test = settings.TestData is { } testPath ? ProblemFile.Read(testPath, settings, model) : null;
        _files = string.Join('+', ((ProblemFile?[])[data, test]).Where(file => file is not null).Select(file => file!.Hash[..16]));
        bool isSplit = settings.Name is not null && data is not null && test is null;
        if (data is not null) _training = isSplit ? [.. data.Problems.Where(problem => !IsHeldOut(problem.Text))] : data.Problems;
        _test = test?.Problems ?? (isSplit ? [.. data!.Problems.Where(problem => IsHeldOut(problem.Text))] : data?.Problems ?? []);
        PromptLimit = _training.Concat(_test).Select(problem => problem.Prompt.Length).DefaultIfEmpty(0).Max();
    }

    /// <summary>The tokenizer alone: models and guides fit every text task with theirs.</summary>
    public string Fingerprint => FingerprintOf(_text.Tokenizer);

    public string Settings =>
        $"{Fingerprint}{(_settings.Name is { } name ? $",task={name}" : "")}{FilesOrNothing},limit={ResponseLimit}"
        + (_settings.UseChat ? "" : ",no chat template") + (_settings.StepByStep ? ",step by step" : "") + (_settings.TruncatePassage ? ",truncated passages" : "");

    public string Source => (_settings.Name ?? "rules") + FilesOrNothing;

    public long TrainingProblems => Math.Max(1, _training.Length);

    public bool IsText => true;

    public int Vocabulary => _text.Vocabulary;

    public IReadOnlyList<int> Stops => _text.Stops;

    public int PromptLimit { get; }

    public int ResponseLimit => _settings.ResponseLimit;

    /// <summary>Lines in order, over and over.</summary>
    /// <exception cref="UserException">There is no such problem.</exception>
    public Problem Problem(Split split, ulong key, long index)
    {
        TextProblem[] problems = split == Split.Test ? Test() : _training;
        if (problems.Length == 0)
            throw new UserException(_settings.Data is null ? "There is no problem to learn from; give a file with --data." : $"{_settings.Data}: no problem falls into the nine tenths to learn from; give more, or another file with --test-data.");
        return problems[index % problems.Length];
    }

    public Problem[] TestProblems(ulong key, int count) => Test() is var test ? test[..Math.Min(count, test.Length)] : [];

    /// <summary>The fingerprint of every text task with a tokenizer.</summary>
    public static string FingerprintOf(Tokenizer tokenizer) => $"text,tokenizer={tokenizer.Fingerprint[..16]}";

    public float Reward(Problem problem, ReadOnlySpan<int> response) => ((TextProblem)problem).Rule.Reward(_text.Of(response, out bool ended), ended);

    public string Text(ReadOnlySpan<int> tokens) => _text.Tokenizer.Decode(tokens, skipSpecial: false);

    public string Answer(Problem problem, ReadOnlySpan<int> response) => ((TextProblem)problem).Rule.Answer(_text.Of(response, out _));

    public bool AreSame(string representative, string answer) => MathGrader.AreEqual(representative, answer);

    /// <summary>Whether a problem of a single file is tested on: a tenth of all, the same in any file and order.</summary>
    public static bool IsHeldOut(string text) => SHA256.HashData(Encoding.UTF8.GetBytes(text)) is var hash && (hash[0] | (hash[1] << 8) | (hash[2] << 16)) % 10 == 0;

    private string FilesOrNothing => _files.Length > 0 ? $",file={_files}" : "";

    private TextProblem[] Test()
    {
        if (_test.Length > 0) return _test;
        throw new UserException(_settings.Data is null
            ? "There is no problem to test on; give a file with --data or --test-data."
            : $"{_settings.Data}: no problem falls into the tenth that is tested on; give more, or a file with --test-data.");
    }
}
