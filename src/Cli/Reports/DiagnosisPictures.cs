using QSharp.Model;

using ScottPlot;

namespace QSharp.Cli.Reports;

/// <summary>Reliability of the guide, and the front of reward against KL, as PNG and SVG.</summary>
internal static class DiagnosisPictures
{
    /// <summary>Draws what there is into a run's folder and returns the paths; none, with a note, where no font is found.</summary>
    public static string[] Draw(RunFolder folder, DiagnosisReport report, IProgressSink progress)
    {
        if ((report.Calibration is null && report.Front is null) || !Pictures.HasFont(progress)) return [];
        List<string> paths = [];
        if (report.Calibration is { } calibration) paths.Add(Pictures.Save(Reliability(calibration), folder, "reliability"));
        if (report.Front is { } front) paths.Add(Pictures.Save(Front(front), folder, "front"));
        return [.. paths];
    }

    private static Plot Reliability(Calibration calibration)
    {
        Plot plot = Pictures.New("The guide's foretelling on the reference's own responses", "foretold mean reward", "mean reward that came");
        ScottPlot.Plottables.Scatter right = plot.Add.ScatterLine(new double[] { 0, 1 }, new double[] { 0, 1 });
        right.LinePattern = LinePattern.Dashed;
        right.Color = Colors.Gray;
        foreach ((string place, HeldOutReport report) in calibration.Places)
        {
            // A tenth that hardly any response falls in says nothing.
            (double Share, double Predicted, double Actual)[] bins = [.. report.Reliability.Where(bin => bin.Share >= 0.005)];
            ScottPlot.Plottables.Scatter line = plot.Add.Scatter(bins.Select(bin => bin.Predicted).ToArray(), bins.Select(bin => bin.Actual).ToArray());
            line.LineWidth = 2;
            line.MarkerSize = 9;
            line.LegendText = $"{place}, Brier {report.Brier:0.000}";
        }
        plot.Axes.SetLimits(-0.03, 1.03, -0.03, 1.03);
        plot.ShowLegend(Alignment.UpperLeft);
        return plot;
    }

    private static Plot Front(IReadOnlyList<FrontPoint> front)
    {
        Plot plot = Pictures.New("Reward against KL: foretold at the prompts, and drawn", "KL(π ‖ π_ref), nats a response", "mean reward");
        ScottPlot.Plottables.Scatter foretold = plot.Add.Scatter(front.Select(point => point.Kl).ToArray(), front.Select(point => point.Reward).ToArray());
        foretold.LineWidth = 2;
        foretold.LegendText = "foretold";
        Evaluation[] drawn = [.. front.Where(point => point.Measured is not null).Select(point => point.Measured!)];
        if (drawn.Length > 0)
        {
            double[] kl = [.. drawn.Select(each => each.Kl.Mean)], reward = [.. drawn.Select(each => each.PassAt1.Mean)];
            ScottPlot.Plottables.Scatter measured = plot.Add.ScatterPoints(kl, reward);
            measured.MarkerSize = 11;
            measured.LegendText = "drawn";
            Pictures.AddIntervals(plot, kl, drawn.Select(each => each.PassAt1), measured.Color);
        }
        plot.ShowLegend(Alignment.LowerRight);
        return plot;
    }
}
