using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Votes by hand.</summary>
public class VotingTests
{
    [Fact]
    public void Equal_answers_vote_together_and_empty_ones_do_not()
    {
        int[] classes = Voting.Classes(["1/2", "", "3", "0.5", "\\frac12", "x=3", ""], MathGrader.AreEqual);
        Assert.Equal([0, Voting.None, 1, 0, 0, 1, Voting.None], classes);
        Assert.Equal(0, Majority(classes));
        // The first response of the winning class, not the last and not the first of all.
        Assert.Equal(1, Majority(Voting.Classes(["7", "4", "4.0", "7.5"], MathGrader.AreEqual)));
        Assert.Equal(Voting.None, Majority(Voting.Classes(["", ""], MathGrader.AreEqual)));
        Assert.Equal(Voting.None, Majority([]));
        Assert.Equal(2, Majority([Voting.None, Voting.None, 0]));
    }

    [Fact]
    public void A_class_s_first_member_is_the_prediction_and_a_new_answer_the_reference()
    {
        List<(string, string)> asked = [];
        int[] classes = Voting.Classes(["a", "b", "c", "d"], (prediction, gold) =>
        {
            asked.Add((prediction, gold));
            return (prediction, gold) is ("a", "c") or ("b", "d") or ("c", "d");
        });
        // d equals c, which is no first member, and b, which is; equality need not be transitive.
        Assert.Equal([0, 1, 0, 1], classes);
        Assert.Equal([("a", "b"), ("a", "c"), ("a", "d"), ("b", "d")], asked);
    }

    [Fact]
    public void Ties_fall_at_random_by_the_seed()
    {
        int[] classes = [0, 1, 2, 1, 0];
        int[] wins = new int[5];
        for (uint seed = 0; seed < 2000; seed++)
        {
            PhiloxStream random = new(Philox.Key(seed, 9), 0), again = random;
            int winner = Voting.Majority(classes, ref random);
            Assert.Equal(winner, Voting.Majority(classes, ref again));
            wins[winner]++;
        }
        Assert.Equal(2000, wins[0] + wins[1]);   // class 2 has one vote
        Assert.InRange(wins[0], 900, 1100);
    }

    [Fact]
    public void Weights_are_added_up_for_each_class_and_the_best_score_stands_alone()
    {
        PhiloxStream random = new(1, 0);
        int[] classes = [0, 1, 0, 1, Voting.None];
        Assert.Equal(1, Voting.Weighted(classes, [0.2, 0.1, 0.2, 0.4, 9], ref random));
        Assert.Equal(0, Voting.Weighted(classes, [0.3, 0.1, 0.3, 0.4, 9], ref random));
        Assert.Equal(3, Voting.Best([0.1, double.NaN, 0.3, 0.9, 0.9]));
        Assert.Equal(0, Voting.Best([-5, -6]));
        Assert.Equal(Voting.None, Voting.Best([double.NaN]));
        Assert.Throws<ArgumentException>(() => Voting.Weighted([0, 1], [1], ref random));
        Assert.Throws<ArgumentException>(() => Voting.Weighted([0, 1], [1, double.NaN], ref random));
    }

    private static int Majority(int[] classes)
    {
        PhiloxStream random = new(1, 0);
        return Voting.Majority(classes, ref random);
    }
}
