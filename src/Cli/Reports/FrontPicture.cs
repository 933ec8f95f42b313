using QSharp.Model;

using ScottPlot;
using ScottPlot.Plottables;

namespace QSharp.Cli.Reports;

/// <summary>
/// The front of accuracy against KL: a curve for each method and temperature, from π_ref along η, with 95 % intervals; π_ref at its
/// temperatures; best-of-n by the guide at the bound of its KL, ln n − (n − 1)/n.
/// </summary>
internal static class FrontPicture
{
    public const string Name = "accuracy-kl";

    private static readonly IPalette _colors = new ScottPlot.Palettes.Category10();

    /// <param name="chance">A level to compare with; or null.</param>
    public static Plot Draw(string title, List<Evaluation> results, (double Level, string Text)? chance = null)
    {
        // Temperatures can be told apart by the KL from one π_ref alone, which is infinite from a top-p set that a policy leaves.
        bool hasOrigin = results.TrueForAll(result => result.KlOrigin is { } origin && double.IsFinite(origin.Mean));
        Func<Evaluation, double> kl = hasOrigin ? result => result.KlOrigin!.Value.Mean : result => result.Kl.Mean;
        Plot plot = Pictures.New(title, hasOrigin ? "KL from π_ref as the data was sampled, nats a response" : "KL(π ‖ π_ref), nats a response", "pass@1");
        Evaluation[] references = [.. results.Where(result => result.Method == "reference")];
        bool hasTemperatures = references.Length > 1;
        double right = 1.15 * Math.Max(results.Max(kl), results[0].Samples > 1 ? Bound(results[0].Samples) : 0.1);
        int curve = 0;
        foreach (var group in results.Except(references).GroupBy(result => (result.Method, result.Temperature)))
        {
            string name = (group.Key.Method == "qsharp" ? "Q♯" : group.Key.Method.ToUpperInvariant()) + (hasTemperatures ? Text($", T = {group.Key.Temperature:0.##}") : "");
            if (double.IsNaN(group.First().Eta)) AddPolicy(plot, group.First(), kl);   // a trained policy is one point, on no curve
            else AddCurve(plot, name, [.. references.Where(each => each.Temperature == group.Key.Temperature), .. group.OrderBy(kl)], kl, curve++, near: right / 200);
        }
        if (references.Length > 0) AddReferences(plot, references, kl, hasTemperatures);
        foreach (Evaluation reference in references.Where(each => each.Samples > 1 && each.IsJudged && Math.Abs(kl(each)) < 1e-3)) AddBestOf(plot, reference);
        if (chance is { } level)
        {
            HorizontalLine line = plot.Add.HorizontalLine(level.Level);
            line.LinePattern = LinePattern.Dashed;
            line.Color = Colors.Gray;
            line.LegendText = level.Text;
        }
        double top = results.Max(result => result.PassAt1.Mean + Pictures.HalfInterval(result.PassAt1));
        plot.Axes.SetLimits(Math.Min(-0.03 * right, results.Min(kl)), right, 0, Math.Min(1.05, Math.Max(1.3 * top, 0.05)));
        plot.ShowLegend(Alignment.LowerRight);
        return plot;
    }

    /// <summary>The most KL that the best of n samples has from the law of the samples (method notes §7.4).</summary>
    public static double Bound(int n) => Math.Log(n) - (n - 1.0) / n;

    /// <param name="number">Of the curve, which gives it its colour.</param>
    /// <param name="near">Points closer than this lie on one another, as where a tilt has saturated, and share a label.</param>
    private static void AddCurve(Plot plot, string name, Evaluation[] points, Func<Evaluation, double> kl, int number, double near)
    {
        double[] x = [.. points.Select(kl)], y = [.. points.Select(point => point.PassAt1.Mean)];
        Scatter line = plot.Add.Scatter(x, y);
        line.Color = _colors.GetColor(number);
        line.LineWidth = 2;
        line.MarkerSize = 9;
        line.LegendText = name;
        Pictures.AddIntervals(plot, x, points.Select(point => point.PassAt1), line.Color);
        foreach (var same in points.Where(point => double.IsFinite(point.Eta)).GroupBy(point => (Math.Round(kl(point) / near), Math.Round(200 * point.PassAt1.Mean))))
        {
            string etas = string.Join(", ", same.Select(point => point.Eta).OrderDescending().Select(eta => Text($"{eta:0.###}")));
            Label(plot, $"η = {etas}", kl(same.First()), same.First().PassAt1.Mean, line.Color, isLow: number % 2 == 0);
        }
    }

    private static void AddPolicy(Plot plot, Evaluation policy, Func<Evaluation, double> kl)
    {
        Marker marker = plot.Add.Marker(kl(policy), policy.PassAt1.Mean, MarkerShape.FilledDiamond, 11);
        marker.LegendText = policy.Method;
        Pictures.AddIntervals(plot, [kl(policy)], [policy.PassAt1], marker.Color);
    }

    private static void AddReferences(Plot plot, Evaluation[] references, Func<Evaluation, double> kl, bool hasTemperatures)
    {
        double[] x = [.. references.Select(kl)], y = [.. references.Select(each => each.PassAt1.Mean)];
        Scatter points = plot.Add.ScatterPoints(x, y);
        points.Color = Colors.Black;
        points.MarkerShape = MarkerShape.FilledSquare;
        points.MarkerSize = 9;
        points.LegendText = hasTemperatures ? "π_ref at its temperatures" : "π_ref";
        Pictures.AddIntervals(plot, x, references.Select(each => each.PassAt1), Colors.Black);
        if (!hasTemperatures) return;
        foreach (Evaluation reference in references) Label(plot, Text($"T = {reference.Temperature:0.##}"), kl(reference), reference.PassAt1.Mean, Colors.Black, isLow: true);
    }

    private static void AddBestOf(Plot plot, Evaluation reference)
    {
        (int N, Estimate Accuracy)[] best = [.. EvaluationReport.BestOf(reference).Where(each => each.N > 1)];
        double[] x = [.. best.Select(each => Bound(each.N))], y = [.. best.Select(each => each.Accuracy.Mean)];
        Scatter points = plot.Add.Scatter(x, y);
        points.Color = Colors.DimGray;
        points.LinePattern = LinePattern.Dotted;
        points.MarkerShape = MarkerShape.OpenCircle;
        points.MarkerSize = 9;
        points.LegendText = "best of n by the guide (KL: its bound)";
        Pictures.AddIntervals(plot, x, best.Select(each => each.Accuracy), points.Color);
        foreach ((int n, Estimate accuracy) in best) Label(plot, Text($"n = {n}"), Bound(n), accuracy.Mean, points.Color, isLow: false);
    }

    private static void Label(Plot plot, string text, double x, double y, Color color, bool isLow)
    {
        ScottPlot.Plottables.Text label = plot.Add.Text(text, x, y);
        label.LabelFontSize = 13;
        label.LabelFontColor = color;
        label.LabelAlignment = isLow ? Alignment.LowerRight : Alignment.UpperLeft;
        label.OffsetX = label.OffsetY = isLow ? -8 : 8;
    }

    private static string Text(FormattableString text) => FormattableString.Invariant(text);
}
