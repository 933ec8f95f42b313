using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Verbs;

/// <summary>Checks the named operations of qs.cuh on a card, or on the stand-in with every access checked, a line each.</summary>
internal static class KernelOperations
{
    /// <returns>Whether all are right.</returns>
    /// <exception cref="UserException">The kernels do not compile, or the card cannot be opened.</exception>
    public static bool Run(
        KernelFolder kernels, KernelCard card, TextWriter output, TextWriter error, JsonObject document, CancellationToken stop)
    {
        KernelFolder folder = OperationChecks.Folder(kernels);
        string where = card.IsStandIn ? "stand-in, checked" : "card";
        IEnumerable<string[]> known = OperationChecks.All.Select(check => (string[])[check.Name, where]);
        StreamedTable table = new(output, known, "operation", "run on", "result");
        JsonArray operations = [];
        document["operations"] = operations;
        bool isRight = true;
        CudaDevice? device = null;
        if (card.IsStandIn) StandIn.IsChecked = true;
        try
        {
            foreach (OperationChecks.Check check in OperationChecks.All)
            {
                stop.ThrowIfCancellationRequested();
                device ??= card.Open(folder);
                string? fault;
                try
                {
                    fault = check.Run(device);
                }
                catch (CudaException failure)
                {
                    fault = failure.Message;
                    device.Dispose();   // a fault loses the context; a new one may work
                    device = null;
                }
                isRight &= fault is null;
                table.Row(check.Name, where, fault is null ? "right" : "OFF");
                if (fault is not null) error.WriteLine($"{check.Name}: {fault}");
                JsonObject json = new()
                {
                    ["operation"] = check.Name,
                    ["device"] = card.IsStandIn ? "stand-in" : "card",
                    ["right"] = fault is null,
                };
                if (fault is not null) json["fault"] = fault;
                operations.Add((JsonNode)json);
            }
        }
        finally
        {
            device?.Dispose();
            if (card.IsStandIn) StandIn.IsChecked = false;
        }
        return isRight;
    }
}
