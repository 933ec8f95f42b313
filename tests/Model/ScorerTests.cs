using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Texts of more tokens than one pass of the scorer takes, and the standard error of a mean.</summary>
public sealed class ScorerTests
{
    [Fact]
    public void A_long_text_is_scored_in_parts_as_in_one_pass_over_the_whole_row()
    {
        using CpuDevice device = new(2);
        using LanguageModel model = TestModels.Language(Ops.For(device), TestModels.Config("qwen3", 37), 4);
        using Scorer scorer = new(model, top: 3);
        foreach (int length in (int[])[600, 5, 256, 257, 1])   // a shorter text after a longer one, and the edges of a part
        {
            int[] ids = TestModels.RandomTokens((ulong)length, length, 37);
            Score score = scorer.Score(ids);
            Assert.Equal(length - 1, score.LogProbs.Count);
            foreach (int at in (int[])[0, length / 2, length - 2])
                if (at >= 0 && at + 1 < length) Assert.Equal(LogProbs(model, ids, at)[ids[at + 1]], score.LogProbs[at], 1e-4);
            double[] last = LogProbs(model, ids, length - 1);
            Assert.Equal(last.OrderDescending().Take(3), score.LastTop.Select(entry => (double)entry.LogProb), (a, b) => Math.Abs(a - b) < 1e-4);
        }
    }

    [Fact]
    public void The_standard_error_is_that_of_independent_values()
    {
        (double mean, double error) = Estimate.Of([0, 1, 1, 0]);
        Assert.Equal((0.5, Math.Sqrt(0.25 / 3)), (mean, error));
        Assert.Equal(new Estimate(1, double.NaN), Estimate.Of([1]));
    }

    private static double[] LogProbs(LanguageModel model, int[] ids, int at) => SamplingOracle.LogSoftmax(TestModels.Outputs(model, ids[..(at + 1)], 0, at, 0), 1);
}
