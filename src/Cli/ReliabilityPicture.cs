using QSharp.Cli.Reports;
using QSharp.Model;

using ScottPlot;

namespace QSharp.Cli;

/// <summary>What a guide foretold on held-out problems against what came, as PNG and SVG.</summary>
internal static class ReliabilityPicture
{
    /// <summary>Draws it into a run's folder and returns its path; null, with a note, where no font is found.</summary>
    public static string? Draw(RunFolder folder, HeldOutReport report, IProgressSink progress)
    {
        if (!Pictures.HasFont(progress)) return null;
        return Pictures.Save(Plot(report), folder, "reliability");
    }

    private static Plot Plot(HeldOutReport report)
    {
        string auc = double.IsNaN(report.Auc) ? "" : FormattableString.Invariant($"AUC {report.Auc:0.000}, ");
        Plot plot = Pictures.New(
            FormattableString.Invariant($"Held-out problems: {auc}Brier {report.Brier:0.000}, explained variance {report.ExplainedVariance:0.000}"),
            "foretold mean reward", "mean reward that came");
        ScottPlot.Plottables.LinePlot exact = plot.Add.Line(0, 0, 1, 1);
        exact.LinePattern = LinePattern.Dashed;
        exact.LineColor = Colors.Gray;
        exact.MarkerSize = 0;
        exact.LegendText = "exact";
        ScottPlot.Plottables.Scatter line = plot.Add.Scatter(
            report.Reliability.Select(bin => bin.Predicted).ToArray(), report.Reliability.Select(bin => bin.Actual).ToArray());
        line.LineWidth = 2;
        line.MarkerSize = 9;
        line.LegendText = "tokens by tenths of what was foretold";
        foreach ((double share, double predicted, double actual) in report.Reliability)
        {
            ScottPlot.Plottables.Text label = plot.Add.Text(FormattableString.Invariant($"{100 * share:0.#} %"), predicted, actual);
            label.LabelFontSize = 13;
            label.LabelFontColor = line.Color;
            label.LabelAlignment = Alignment.UpperLeft;
            label.OffsetX = 8;
            label.OffsetY = 6;
        }
        plot.Axes.SetLimits(-0.03, 1.08, -0.03, 1.05);
        plot.ShowLegend(Alignment.UpperLeft);
        return plot;
    }
}
