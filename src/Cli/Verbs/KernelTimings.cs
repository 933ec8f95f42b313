using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Verbs;

/// <summary>Times op cases on a card, or an old and a new version of a kernel in turn.</summary>
internal static class KernelTimings
{
    private sealed record Job(OpCase Op, CaseShape Shape, bool IsBackward);

    /// <param name="old">The folder with the old version in it; null to time the new one alone.</param>
    public static void Run(KernelChoice choice, KernelCard card, KernelFolder? old, TextWriter output, JsonObject document, CancellationToken stop)
    {
        Job[] jobs = [.. Jobs(choice)];
        string[] headings = old is null
            ? ["case", "shape", "type", "pass", "µs", "rate", "floor µs", "of floor"]
            : ["case", "shape", "type", "pass", "µs", "rate", "floor µs", "of floor", "old µs", "old/new"];
        StreamedTable table = new(output, jobs.Select(Cells), headings);
        JsonArray timings = [];
        document["timings"] = timings;
        using CudaDevice device = card.Open(choice.Folder);
        using CudaDevice? before = old is null ? null : card.Open(old);
        document["card"] = device.Properties.Name;
        foreach (Job job in jobs)
        {
            stop.ThrowIfCancellationRequested();
            CaseTiming[] both = KernelChoice.Guarded(job.Op, job.Shape, () => Time(job, device, before));
            List<string> row = [.. Cells(job), Figure(both[0].Microseconds), Rate(both[0]), .. Floor(both[0])];
            if (both.Length > 1) row.AddRange([Figure(both[1].Microseconds), (both[1].Microseconds / both[0].Microseconds).ToString("0.000", CultureInfo.InvariantCulture)]);
            table.Row([.. row]);
            timings.Add((JsonNode)Json(job, both));
        }
        CudaProperties properties = device.Properties;
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{properties.Name}: medians behind a flushed L2; the floor is {properties.MemoryBytesPerSecond / 1e9:N0} GB/s, {properties.FlopsPerSecond / 1e12:0.0} TFLOP/s in f32 and {properties.TensorFlopsPerSecond / 1e12:N0} in bf16."));
    }

    /// <summary>The name of a type as on the command line.</summary>
    public static string Name(DType type) => type == DType.BF16 ? "bf16" : "f32";

    private static CaseTiming[] Time(Job job, CudaDevice device, CudaDevice? before)
    {
        using CaseTimer timer = new(device, job.Op, job.Shape, job.IsBackward);
        if (before is null) return CaseTimer.Time(timer);
        using CaseTimer other = new(before, job.Op, job.Shape, job.IsBackward);
        return CaseTimer.Time(timer, other);
    }

    private static IEnumerable<Job> Jobs(KernelChoice choice)
    {
        foreach (OpCase plain in choice.Cases)
            foreach (CaseShape shape in choice.TimedShapes(plain))
                foreach (DType type in KernelChoice.Types(plain))
                    foreach (bool isBackward in (bool[])[false, true])
                    {
                        OpCase op = plain.With(type);
                        if (KernelChoice.Guarded(op, shape, () => CaseTimer.CanTime(op, shape, isBackward))) yield return new Job(op, shape, isBackward);
                    }
    }

    private static string[] Cells(Job job) => [job.Op.Name, job.Shape.ToString(), Name(job.Op.Activations), job.IsBackward ? "backward" : "forward"];

    private static string Rate(CaseTiming timing) => timing.Cost is not { } cost ? "-"
        : timing.IsMemoryBound ? string.Create(CultureInfo.InvariantCulture, $"{cost.Bytes / timing.Microseconds / 1e3:N0} GB/s")
        : string.Create(CultureInfo.InvariantCulture, $"{cost.Flops / timing.Microseconds / 1e6:0.0} TFLOP/s");

    private static string[] Floor(CaseTiming timing) => timing.FloorMicroseconds is not { } floor ? ["-", "-"]
        : [Figure(floor), string.Create(CultureInfo.InvariantCulture, $"{100 * floor / timing.Microseconds:0}%")];

    private static string Figure(double microseconds) => microseconds.ToString("N2", CultureInfo.InvariantCulture);

    private static JsonObject Json(Job job, CaseTiming[] both)
    {
        JsonObject json = new()
        {
            ["case"] = job.Op.Name,
            ["shape"] = new JsonArray([.. job.Shape.Sizes.Select(size => (JsonNode)size)]),
            ["label"] = job.Shape.Label,
            ["type"] = Name(job.Op.Activations),
            ["pass"] = job.IsBackward ? "backward" : "forward",
            ["microseconds"] = both[0].Microseconds,
        };
        if (both[0] is { Cost: { } cost, FloorMicroseconds: { } floor })
        {
            json["bytes"] = cost.Bytes;
            json["flops"] = cost.Flops;
            json["floor_microseconds"] = floor;
        }
        if (both.Length > 1)
        {
            json["old_microseconds"] = both[1].Microseconds;
            json["ratio"] = both[1].Microseconds / both[0].Microseconds;
        }
        return json;
    }
}
