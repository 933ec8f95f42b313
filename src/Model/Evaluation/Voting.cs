using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Chooses one of several responses to a problem: by the votes of equal answers (maj1@k), by votes that a guide's scores weigh, or
/// by the best score. What is chosen is a response, so that its own reward is the result's (method notes §5.2).
/// </summary>
public static class Voting
{
    /// <summary>In place of a response where no answer is valid.</summary>
    public const int None = -1;

    /// <summary>
    /// Parts answers into classes of equal ones, numbered in the order of their first members; an empty answer is in none
    /// (<see cref="None"/>). An answer goes to the first class whose first member it equals.
    /// </summary>
    /// <param name="areEqual">Takes the class's first member (as the prediction) and the new answer (as the reference).</param>
    public static int[] Classes(IReadOnlyList<string> answers, Func<string, string, bool> areEqual)
    {
        int[] classes = new int[answers.Count];
        List<string> first = [];
        for (int i = 0; i < classes.Length; i++)
        {
            string answer = answers[i];
            if (answer.Length == 0)
            {
                classes[i] = None;
                continue;
            }
            int found = first.FindIndex(representative => areEqual(representative, answer));
            if (found < 0)
            {
                found = first.Count;
                first.Add(answer);
            }
            classes[i] = found;
        }
        return classes;
    }

    /// <summary>The first response of the largest class; ties are broken at random. <see cref="None"/> where no answer is valid.</summary>
    /// <param name="classes">As <see cref="Classes"/> gives them.</param>
    /// <param name="random">For ties; nothing is drawn without one.</param>
    public static int Majority(ReadOnlySpan<int> classes, ref PhiloxStream random) => Elect(classes, [], ref random);

    /// <summary>The same with a weight for each response in place of one vote: a class has the sum of its members'.</summary>
    /// <param name="weights">[k], finite and at least 0, such as a guide's estimates of the reward.</param>
    /// <exception cref="ArgumentException">There are more or fewer weights than responses, or one is no such number.</exception>
    public static int Weighted(ReadOnlySpan<int> classes, ReadOnlySpan<double> weights, ref PhiloxStream random)
    {
        if (weights.Length != classes.Length) throw new ArgumentException($"There are {classes.Length} responses and {weights.Length} weights.", nameof(weights));
        foreach (double weight in weights)
            if (!double.IsFinite(weight) || weight < 0) throw new ArgumentException($"A weight is {weight}, but must be a finite number of at least 0.", nameof(weights));
        return Elect(classes, weights, ref random);
    }

    /// <summary>Best of k: the response with the greatest score, the first of equal ones; NaN is never chosen.</summary>
    public static int Best(ReadOnlySpan<double> scores)
    {
        int best = None;
        for (int i = 0; i < scores.Length; i++)
            if (!double.IsNaN(scores[i]) && (best == None || scores[i] > scores[best])) best = i;
        return best;
    }

    /// <param name="weights">Empty: one vote each.</param>
    private static int Elect(ReadOnlySpan<int> classes, ReadOnlySpan<double> weights, ref PhiloxStream random)
    {
        List<double> votes = [];
        for (int i = 0; i < classes.Length; i++)
        {
            if (classes[i] == None) continue;
            if (classes[i] == votes.Count) votes.Add(0);
            votes[classes[i]] += weights.IsEmpty ? 1 : weights[i];
        }
        if (votes.Count == 0) return None;
        double most = votes.Max();
        int[] leading = [.. Enumerable.Range(0, votes.Count).Where(each => votes[each] == most)];
        int winner = leading.Length == 1 ? leading[0] : leading[random.NextInt(leading.Length)];
        return classes.IndexOf(winner);
    }
}
