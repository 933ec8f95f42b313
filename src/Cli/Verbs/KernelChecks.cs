using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Verbs;

/// <summary>Checks op cases on a card, or on the stand-in in both of its modes, a line each.</summary>
internal static class KernelChecks
{
    private sealed record Job(OpCase Op, CaseShape Shape, DType Type, bool IsChecked);

    /// <param name="folder">The kernels: the choice's own, or with an old version in them.</param>
    /// <param name="prefix">Before the name of each case.</param>
    /// <returns>Whether all cases are right.</returns>
    /// <exception cref="UserException">A kernel does not compile, or the card cannot be opened.</exception>
    public static bool Run(
        KernelChoice choice, KernelCard card, KernelFolder folder, string prefix, TextWriter output, TextWriter error, JsonObject document, CancellationToken stop)
    {
        Job[] jobs = [.. Jobs(choice, card)];
        if (jobs.Length == 0) throw new UserException($"kernel {string.Join(", ", choice.Files)}: no op case uses it, so there is nothing to check or time.");
        JsonArray checks = document["checks"] as JsonArray ?? [];
        document["checks"] = checks;
        StreamedTable table = new(output, jobs.Select(job => Cells(prefix, job, card)), "case", "shape", "type", "run on", "NMSE", "allowed", "result");
        bool isRight = true;
        CudaDevice? device = null;
        try
        {
            foreach (Job job in jobs)
            {
                stop.ThrowIfCancellationRequested();
                if (card.IsStandIn && (device is null || StandIn.IsChecked != job.IsChecked))
                {
                    device?.Dispose();
                    StandIn.IsChecked = job.IsChecked;
                    device = null;
                }
                device ??= card.Open(folder);
                CaseOutcome outcome;
                try
                {
                    outcome = KernelChoice.Guarded(job.Op, job.Shape, () => CaseCheck.Run(job.Op, job.Shape, job.Type, device));
                }
                catch (CudaException failure)
                {
                    outcome = new CaseOutcome(double.PositiveInfinity, 0, $"{job.Op.Name} {job.Shape}: {failure.Message}");
                    device.Dispose();   // a fault loses the context; a new one may work
                    device = null;
                }
                isRight &= outcome.Fault is null;
                table.Row([.. Cells(prefix, job, card), Figure(outcome.Error), Figure(outcome.Allowed), outcome.Fault is null ? "right" : "OFF"]);
                if (outcome.Fault is not null) error.WriteLine(outcome.Fault);
                checks.Add((JsonNode)Json(prefix, job, card, outcome));
            }
        }
        finally
        {
            device?.Dispose();
            if (card.IsStandIn) StandIn.IsChecked = false;
        }
        return isRight;
    }

    private static IEnumerable<Job> Jobs(KernelChoice choice, KernelCard card)
    {
        foreach (bool isChecked in card.IsStandIn ? [false, true] : (bool[])[false])
            foreach (OpCase op in choice.Cases)
                foreach (CaseShape shape in choice.Shapes(op))
                {
                    if (isChecked && !KernelChoice.Guarded(op, shape, () => CaseCheck.CanCheckAccesses(op, shape))) continue;
                    foreach (DType type in KernelChoice.Types(op)) yield return new Job(op, shape, type, isChecked);
                }
    }

    private static string[] Cells(string prefix, Job job, KernelCard card) =>
        [prefix + job.Op.Name, job.Shape.ToString(), KernelTimings.Name(job.Type), card.IsStandIn ? job.IsChecked ? "stand-in, checked" : "stand-in" : "card"];

    private static string Figure(double value) => double.IsFinite(value) ? value.ToString("0.0e+00", CultureInfo.InvariantCulture) : "-";

    private static JsonObject Json(string prefix, Job job, KernelCard card, CaseOutcome outcome)
    {
        JsonObject json = new()
        {
            ["case"] = job.Op.Name,
            ["version"] = prefix.Length > 0 ? prefix.Trim() : "new",
            ["shape"] = new JsonArray([.. job.Shape.Sizes.Select(size => (JsonNode)size)]),
            ["label"] = job.Shape.Label,
            ["type"] = KernelTimings.Name(job.Type),
            ["device"] = card.IsStandIn ? "stand-in" : "card",
            ["checked"] = job.IsChecked,
            ["right"] = outcome.Fault is null,
        };
        if (double.IsFinite(outcome.Error)) json["nmse"] = outcome.Error;
        if (outcome.Fault is { } fault) json["fault"] = fault;
        return json;
    }
}
