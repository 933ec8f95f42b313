using System.Globalization;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>One-step sums in words: a things, b more or b fewer.</summary>
/// <param name="Result">The right answer.</param>
public sealed record WordProblem(int[] Prompt, string Text, int Result) : Problem(Prompt, []);

/// <summary>
/// One-step word problems for a small chat model: "Ann has 7 apples and gets 5 more apples. How many apples does Ann have now?",
/// or "… and gives away 3 apples. …", through the model's chat template. Reward 1 if the last whole number of the reply is right.
/// A quarter of the sums (a, b, operation), by a hash, is for testing alone, so no held-out sum is ever trained on.
/// </summary>
public sealed class WordProblemTask : ITask
{
    /// <summary>Name on the command line.</summary>
    public const string Name = "word-problems";

    /// <summary>Most tokens of a reply.</summary>
    public const int UsualResponseLimit = 48;

    private static readonly string[] _names = ["Ann", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry"];
    private static readonly string[] _things = ["apples", "books", "coins", "marbles", "pencils", "cookies", "stickers", "shells"];

    private readonly ModelFiles _model;
    private readonly TaskText _text;
    private readonly Sum[] _training, _testing;

    /// <param name="model">Whose tokenizer, chat template and end tokens are used.</param>
    /// <param name="responseLimit">Most tokens of a response.</param>
    public WordProblemTask(ModelFiles model, int responseLimit)
    {
        _model = model;
        _text = new TaskText(model);
        ResponseLimit = responseLimit;
        ILookup<bool, Sum> parts = Sums().ToLookup(sum => sum.IsForTesting);
        (_training, _testing) = ([.. parts[false]], [.. parts[true]]);
        // Words and numbers are encoded each for itself, so the longest of each make the longest prompt. A name begins the text,
        // where it may be more tokens than behind a space: only whole prompts tell.
        Sum any = _training[0];
        string name = _names.MaxBy(each => Encode(any.Text(each, _things[0])).Length)!, thing = _things.MaxBy(each => Encode(any.Text(_names[0], each)).Length)!;
        PromptLimit = Sums().GroupBy(sum => sum.Adds)
            .Max(kind => Encode(new Sum(Longest(kind.Select(sum => sum.A)), Longest(kind.Select(sum => sum.B)), kind.Key).Text(name, thing)).Length);

        int Longest(IEnumerable<int> numbers) =>
            numbers.MaxBy(number => _text.Tokenizer.Encode(" " + number.ToString(CultureInfo.InvariantCulture), special: false).Length);
    }

    public string Fingerprint => TextTask.FingerprintOf(_text.Tokenizer);

    public string Settings => $"{Fingerprint},{Name},limit={ResponseLimit}";

    public string Source => Name;

    public bool IsText => true;

    public int Vocabulary => _text.Vocabulary;

    public IReadOnlyList<int> Stops => _text.Stops;

    public int PromptLimit { get; }

    public int ResponseLimit { get; }

    public Problem Problem(Split split, ulong key, long index)
    {
        Sum[] sums = split == Split.Test ? _testing : _training;
        PhiloxStream random = new(Philox.Key(key, (uint)split), (ulong)index * 4);
        Sum sum = sums[random.NextInt(sums.Length)];
        return Make(sum, random.NextInt(_names.Length), random.NextInt(_things.Length));
    }

    public Problem[] TestProblems(ulong key, int count)
    {
        (Sum Sum, int Name, int Thing)[] all =
            [.. _testing.SelectMany(sum => Enumerable.Range(0, _names.Length * _things.Length).Select(i => (sum, i / _things.Length, i % _things.Length)))];
        new PhiloxStream(key).Shuffle<(Sum, int, int)>(all);
        return [.. all.Take(count).Select(each => Make(each.Sum, each.Name, each.Thing))];
    }

    public float Reward(Problem problem, ReadOnlySpan<int> response) =>
        Answer(problem, response) == ((WordProblem)problem).Result.ToString(CultureInfo.InvariantCulture) ? 1 : 0;

    public string Text(ReadOnlySpan<int> tokens) => _text.Tokenizer.Decode(tokens, skipSpecial: false);

    /// <summary>The last number, without commas and trailing zeros.</summary>
    public string Answer(Problem problem, ReadOnlySpan<int> response) =>
        AnswerText.LastValue(_text.Of(response, out _))?.ToString("0.############", CultureInfo.InvariantCulture) ?? "";

    public bool AreSame(string representative, string answer) => representative == answer;

    /// <summary>a from 2 to 9 and b from 1 to 9 more; or a from 3 to 15 and b from 1 to 9 fewer, at least one left.</summary>
    private static IEnumerable<Sum> Sums()
    {
        for (int a = 2; a <= 9; a++)
            for (int b = 1; b <= 9; b++) yield return new Sum(a, b, Adds: true);
        for (int a = 3; a <= 15; a++)
            for (int b = 1; b <= Math.Min(9, a - 1); b++) yield return new Sum(a, b, Adds: false);
    }

    private WordProblem Make(Sum sum, int name, int thing)
    {
        string text = sum.Text(_names[name], _things[thing]);
        return new WordProblem(Encode(text), text, sum.Result);
    }

    private int[] Encode(string text) => TextPrompts.FromMessages([new ChatMessage("user", text)], _model);

    private readonly record struct Sum(int A, int B, bool Adds)
    {
        public int Result => Adds ? A + B : A - B;

        /// <summary>A quarter, by a hash of the sum itself: whatever the seed.</summary>
        public bool IsForTesting => Philox.Block(0x5175_6172_7465_7273, (uint)A, (uint)B, Adds ? 1u : 0u, 0).Item1 % 4 == 0;

        public string Text(string name, string thing) => Adds
            ? $"{name} has {A} {thing} and gets {B} more {thing}. How many {thing} does {name} have now?"
            : $"{name} has {A} {thing} and gives away {B} {thing}. How many {thing} does {name} have now?";
    }
}
