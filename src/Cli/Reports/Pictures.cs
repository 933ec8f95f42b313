using QSharp.Model;

using ScottPlot;

using SkiaSharp;

namespace QSharp.Cli.Reports;

/// <summary>Pictures as PNG and SVG; and those of a star-graph run.</summary>
internal static class Pictures
{
    private const int Width = 900, Height = 560;

    /// <summary>Draws both pictures into a run's folder and returns their paths; none, with a note, where no font is found.</summary>
    public static string[] Draw(RunFolder folder, StarGraphRecipe recipe, List<Evaluation> results, List<PolicyEntry> policies, IProgressSink progress)
    {
        if (!HasFont(progress)) return [];
        List<string> paths = [Save(LearningCurves(folder, recipe), folder, "learning-curves")];
        if (policies.Exists(policy => policy.Data == PolicyData.Policy)) paths.Add(Save(TrainingRewards(folder, recipe, policies), folder, "policy-rewards"));
        if (results.Count > 1)
        {
            string title = $"G({recipe.Graph.Arms},{recipe.Graph.PathLength}): accuracy on {results[0].Problems:N0} held-out graphs";
            paths.Add(Save(FrontPicture.Draw(title, results, (1.0 / recipe.Graph.Arms, $"1/{recipe.Graph.Arms}: an arm at random")), folder, FrontPicture.Name));
        }
        return [.. paths];
    }

    /// <summary>Whether pictures can have text; if not, a note says what is missing.</summary>
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

    /// <summary>95 % intervals up and down, where they are known.</summary>
    public static void AddIntervals(Plot plot, double[] x, IEnumerable<Estimate> y, Color color)
    {
        (double X, Estimate Y)[] known = [.. x.Zip(y).Where(point => !double.IsNaN(point.Second.Error))];
        if (known.Length == 0) return;
        plot.Add.ErrorBar([.. known.Select(point => point.X)], [.. known.Select(point => point.Y.Mean)], [.. known.Select(point => HalfInterval(point.Y))]).Color = color;
    }

    /// <summary>Half of a 95 % interval; 0 where it is not known.</summary>
    public static double HalfInterval(Estimate estimate) => double.IsNaN(estimate.Error) ? 0 : 1.96 * estimate.Error;

    /// <summary>Writes both files and returns the path of the PNG.</summary>
    public static string Save(Plot plot, RunFolder folder, string name)
    {
        AtomicFile.Write(folder.File(name + ".png"), stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
        AtomicFile.WriteText(folder.File(name + ".svg"), plot.GetSvgXml(Width, Height));
        return folder.File(name + ".png");
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
