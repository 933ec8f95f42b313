using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>
/// A tree with chance that can be enumerated: the model writes one of five tokens, a coin answers 3 or 4, the model writes once
/// more. Rewards are tenths, and higher where the coin's law is a gamble.
/// </summary>
internal sealed class ChanceTask : IInteractiveTask
{
    public const int Tokens = 5, Heads = 3, Tails = 4;

    private static readonly double[] HeadsChance = [0.5, 0.9, 0.3, 0.5, 0.5];

    public string Fingerprint => "chance";

    public string Settings => "chance";

    public string Source => Fingerprint;

    public bool IsText => false;

    public int Vocabulary => Tokens;

    public IReadOnlyList<int> Stops => [];

    public string Text(ReadOnlySpan<int> tokens) => string.Join(' ', tokens.ToArray());

    public int PromptLimit => 1;

    public int ResponseLimit => 3;

    public Problem Problem(Split split, ulong key, long index) => new([0], []);

    public Problem[] TestProblems(ulong key, int count) => [.. Enumerable.Range(0, count).Select(i => Problem(Split.Test, key, i))];

    public string Answer(Problem problem, ReadOnlySpan<int> response) => string.Join(' ', response.ToArray());

    public bool AreSame(string representative, string answer) => representative == answer;

    public float Reward(Problem problem, ReadOnlySpan<int> response) => Reward(response[0], response[1], response[2]);

    public int[] Reply(Problem problem, ReadOnlySpan<int> response, ref PhiloxStream random) =>
        response.Length == 1 ? [random.NextUniform() < HeadsChance[response[0]] ? Heads : Tails] : [];

    public static float Reward(int first, int coin, int second) => first switch
    {
        0 => coin == Heads ? (second == 0 ? 1 : 0.9f) : 0,              // a gamble
        1 => second == 1 ? 0.7f : 0.6f,                                 // sure
        2 => coin == Heads ? 0.8f : second == 2 ? 0.3f : 0.1f,
        _ => 0.2f,
    };

    /// <summary>What a prompt is worth under a model, by the soft Bellman equation, with the coin's mean or (naive) as if it were the model's.</summary>
    public static double Value(LanguageModel model, double eta, bool isNaive)
    {
        using Scorer scorer = new(model, Tokens);
        return Soft(scorer, [0], eta, first =>
        {
            double heads = After(first, Heads), tails = After(first, Tails), chance = HeadsChance[first];
            return isNaive
                ? eta * Math.Log(chance * Math.Exp(heads / eta) + (1 - chance) * Math.Exp(tails / eta))
                : chance * heads + (1 - chance) * tails;
        });

        double After(int first, int coin) => Soft(scorer, [0, first, coin], eta, second => Reward(first, coin, second));
    }

    private static double Soft(Scorer scorer, int[] text, double eta, Func<int, double> value) =>
        eta * Math.Log(scorer.Score(text).LastTop.Sum(next => Math.Exp(next.LogProb + value(next.Id) / eta)));
}
