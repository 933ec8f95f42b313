using QSharp.Model;

using ScottPlot;

using SkiaSharp;

namespace QSharp.Cli;

/// <summary>Learning curves and accuracy against KL, as PNG and SVG.</summary>
internal static class Pictures
{
    private const int Width = 900, Height = 560;

    /// <summary>Draws both pictures into a run's folder and returns their paths; none, with a note, where no font is found.</summary>
    public static string[] Draw(RunFolder folder, StarGraphRecipe recipe, List<Evaluation> results, List<PolicyEntry> policies, IProgressSink progress)
    {
        if (!HasFont(progress)) return [];
        List<string> paths = [];
        Save(LearningCurves(folder, recipe), folder, "learning-curves", paths);
        if (policies.Exists(policy => policy.Data == PolicyData.Policy)) Save(TrainingRewards(folder, recipe, policies), folder, "policy-rewards", paths);
        if (results.Count > 1) Save(AccuracyAgainstKl(recipe, results), folder, "accuracy-kl", paths);
        return [.. paths];
    }

    public static bool HasFont(IProgressSink progress)
    {
        try
        {
            if (SKFontManager.Default.FontFamilies.Any()) return true;
            progress.Note("No font is installed, so no pictures were drawn; install one (Debian: fonts-dejavu-core).");
        }
        catch (Exception error) when (error is TypeInitializationException or DllNotFoundException)
        {
            progress.Note("The drawing library cannot be loaded, so no pictures were drawn; install what it needs (Debian: libfontconfig1).");
        }
        return false;
    }

    private static Plot LearningCurves(RunFolder folder, StarGraphRecipe recipe)
    {
        Plot plot = New($"Learning G({recipe.Graph.Arms},{recipe.Graph.PathLength})", "step", "loss (nats)");
        foreach ((string phase, string label) in new[] { ("reference", "π_ref: next-token cross-entropy"), ("guide", "Q♯ guide: cross-entropy of the return") })
        {
            (double[] steps, double[] losses) = MetricsLog.Read(folder, phase);
            if (steps.Length == 0) continue;
            ScottPlot.Plottables.Scatter line = plot.Add.ScatterLine(steps, Smooth(losses));
            line.LineWidth = 2;
            line.LegendText = label;
        }
        plot.Axes.AutoScale();
        plot.Axes.SetLimitsY(0, Math.Max(plot.Axes.GetLimits().Top, 0.1));
        plot.ShowLegend(Alignment.UpperRight);
        return plot;
    }

    private static Plot TrainingRewards(RunFolder folder, StarGraphRecipe recipe, List<PolicyEntry> policies)
    {
        Plot plot = New($"Policies of G({recipe.Graph.Arms},{recipe.Graph.PathLength}): reward of their own responses in training", "step", "mean reward");
        foreach (PolicyEntry policy in policies.Where(policy => policy.Data == PolicyData.Policy))
        {
            (double[] steps, double[] rewards) = MetricsLog.Read(folder, policy.Name, "reward");
            ScottPlot.Plottables.Scatter line = plot.Add.ScatterLine(steps, Smooth(rewards));
            line.LineWidth = 2;
            line.LegendText = policy.Name;
        }
        plot.Axes.AutoScale();
        plot.Axes.SetLimitsY(0, 1);
        plot.ShowLegend(Alignment.UpperRight);
        return plot;
    }

    private static Plot AccuracyAgainstKl(StarGraphRecipe recipe, List<Evaluation> results)
    {
        Plot plot = New(
            $"G({recipe.Graph.Arms},{recipe.Graph.PathLength}): accuracy on {results[0].Problems:N0} held-out graphs", "KL(π ‖ π_ref), nats a response", "accuracy");
        Evaluation reference = results[0];
        // Each method's curve starts at π_ref, which is its limit for η → ∞.
        foreach (IGrouping<string, Evaluation> method in results.Skip(1).GroupBy(result => result.Method))
        {
            if (double.IsNaN(method.First().Eta))   // a trained policy is one point, on no curve
            {
                Evaluation policy = method.First();
                ScottPlot.Plottables.Marker marker = plot.Add.Marker(policy.Kl.Mean, policy.PassAt1.Mean, MarkerShape.FilledDiamond, 11);
                marker.LegendText = policy.Method;
                plot.Add.ErrorBar([policy.Kl.Mean], [policy.PassAt1.Mean], [1.96 * policy.PassAt1.Error]).Color = marker.Color;
                continue;
            }
            Evaluation[] points = [reference, .. method.OrderBy(point => point.Kl.Mean)];
            double[] kl = [.. points.Select(point => point.Kl.Mean)], accuracy = [.. points.Select(point => point.PassAt1.Mean)];
            ScottPlot.Plottables.Scatter line = plot.Add.Scatter(kl, accuracy);
            line.LineWidth = 2;
            line.MarkerSize = 9;
            line.LegendText = method.Key == "qsharp" ? "Q♯" : method.Key.ToUpperInvariant();
            ScottPlot.Plottables.ErrorBar bars = plot.Add.ErrorBar(kl, accuracy, [.. points.Select(point => 1.96 * point.PassAt1.Error)]);
            bars.Color = line.Color;
            foreach (Evaluation point in points.Skip(1))
            {
                ScottPlot.Plottables.Text label = plot.Add.Text(FormattableString.Invariant($"η = {point.Eta:0.###}"), point.Kl.Mean, point.PassAt1.Mean);
                label.LabelFontSize = 13;
                label.LabelFontColor = line.Color;
                label.LabelAlignment = method.Key == "qsharp" ? Alignment.LowerRight : Alignment.UpperLeft;
                label.OffsetX = method.Key == "qsharp" ? -8 : 8;
                label.OffsetY = method.Key == "qsharp" ? -8 : 8;
            }
        }
        ScottPlot.Plottables.HorizontalLine chance = plot.Add.HorizontalLine(1.0 / recipe.Graph.Arms);
        chance.LinePattern = LinePattern.Dashed;
        chance.Color = Colors.Gray;
        chance.LegendText = $"1/{recipe.Graph.Arms}: an arm at random";
        double right = Math.Max(results.Max(result => result.Kl.Mean) * 1.15, 0.1);
        plot.Axes.SetLimits(-0.03 * right, right, 0, 1.05);
        plot.ShowLegend(Alignment.LowerRight);
        return plot;
    }

    public static Plot New(string title, string x, string y)
    {
        Plot plot = new();
        plot.Font.Automatic();
        plot.Title(title, 18);
        plot.XLabel(x, 15);
        plot.YLabel(y, 15);
        plot.Legend.FontSize = 14;
        return plot;
    }

    public static void Save(Plot plot, RunFolder folder, string name, List<string> paths)
    {
        AtomicFile.Write(folder.File(name + ".png"), stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
        AtomicFile.WriteText(folder.File(name + ".svg"), plot.GetSvgXml(Width, Height));
        paths.Add(folder.File(name + ".png"));
    }

    /// <summary>Mean of the last 25 steps, so that a curve can be read.</summary>
    private static double[] Smooth(double[] values)
    {
        const int window = 25;
        double[] smooth = new double[values.Length];
        double sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            sum += values[i] - (i >= window ? values[i - window] : 0);
            smooth[i] = sum / Math.Min(i + 1, window);
        }
        return smooth;
    }
}
