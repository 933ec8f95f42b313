using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>A prediction of the mean return at one position.</summary>
/// <param name="Weight">Share of the whole.</param>
/// <param name="Position">Index among the loss tokens of its response.</param>
public readonly record struct Prediction(float Mean, float Return, float Weight, int Position);

/// <summary>
/// How well a guide foretells the return on problems that it was not trained on (method notes §2.6, §6): the figures that the
/// official code logs, and what they would be for a constant.
/// </summary>
/// <param name="Loss">Of the method, mean over responses of the mean over their tokens.</param>
/// <param name="ConstantLoss">The same of the best constant (<see cref="Method.ConstantLoss"/>): what a guide has to beat. Null where it is not known.</param>
/// <param name="ExplainedVariance">1 − Var(R − E[Z]) / Var(R).</param>
/// <param name="Auc">Chance that a position of a response with a return above ½ is rated above one of another; ties count half. NaN if there is but one kind.</param>
/// <param name="EarlyAuc">The same among each response's first ten tokens.</param>
/// <param name="Brier">Mean of (E[Z] − R)².</param>
/// <param name="Reliability">By tenths of E[Z]: share of positions, mean E[Z], mean return.</param>
public sealed record HeldOutReport(
    double Loss, double? ConstantLoss, double ExplainedVariance, double Auc, double EarlyAuc, double Brier,
    IReadOnlyList<(double Share, double Predicted, double Actual)> Reliability)
{
    private const int Bins = 10, EarlyTokens = 10;

    public static HeldOutReport Of(double loss, double? constantLoss, IReadOnlyList<Prediction> predictions)
    {
        double total = predictions.Sum(p => (double)p.Weight);
        double Mean(Func<Prediction, double> value) => predictions.Sum(p => p.Weight * value(p)) / total;
        double meanReturn = Mean(p => p.Return), meanError = Mean(p => p.Return - p.Mean);
        double variance = Mean(p => Square(p.Return - meanReturn)), errorVariance = Mean(p => Square(p.Return - p.Mean - meanError));
        return new HeldOutReport(
            loss, constantLoss, variance > 0 ? 1 - errorVariance / variance : 0, AucOf(predictions),
            AucOf([.. predictions.Where(p => p.Position < EarlyTokens)]), Mean(p => Square(p.Return - p.Mean)), ReliabilityOf(predictions, total));
    }

    public JsonObject ToJson() => new()
    {
        ["loss"] = Loss,
        ["constant_loss"] = ConstantLoss,
        ["explained_variance"] = ExplainedVariance,
        ["auc"] = double.IsNaN(Auc) ? null : Auc,
        ["auc_first_ten_tokens"] = double.IsNaN(EarlyAuc) ? null : EarlyAuc,
        ["brier"] = Brier,
        ["reliability"] = new JsonArray([.. Reliability.Select(bin => (JsonNode)new JsonObject { ["share"] = bin.Share, ["predicted"] = bin.Predicted, ["actual"] = bin.Actual })]),
    };

    /// <summary>By ranks, ties sharing theirs.</summary>
    private static double AucOf(IReadOnlyList<Prediction> predictions)
    {
        Prediction[] sorted = [.. predictions.OrderBy(p => p.Mean)];
        double good = 0, bad = 0, area = 0;
        for (int first = 0, next; first < sorted.Length; first = next)
        {
            double goodHere = 0, badHere = 0;
            for (next = first; next < sorted.Length && sorted[next].Mean == sorted[first].Mean; next++)
            {
                if (sorted[next].Return > 0.5f) goodHere += sorted[next].Weight;
                else badHere += sorted[next].Weight;
            }
            area += goodHere * (bad + badHere / 2);
            good += goodHere;
            bad += badHere;
        }
        return good > 0 && bad > 0 ? area / (good * bad) : double.NaN;
    }

    private static List<(double, double, double)> ReliabilityOf(IReadOnlyList<Prediction> predictions, double total)
    {
        List<(double, double, double)> bins = [];
        foreach (IGrouping<int, Prediction> bin in predictions.GroupBy(p => Math.Clamp((int)(p.Mean * Bins), 0, Bins - 1)).OrderBy(bin => bin.Key))
        {
            double weight = bin.Sum(p => (double)p.Weight);
            if (weight > 0) bins.Add((weight / total, bin.Sum(p => p.Weight * (double)p.Mean) / weight, bin.Sum(p => p.Weight * (double)p.Return) / weight));
        }
        return bins;
    }

    private static double Square(double x) => x * x;
}
