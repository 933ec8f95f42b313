using System.CommandLine;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Text.Json.Nodes;

namespace QSharp.Cli.Verbs;

/// <summary>Says what this machine can compute on.</summary>
internal static class DevicesVerb
{
    public static Command Create()
    {
        Command verb = new("devices", "Devices of this machine.");
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
        verb.Options.Add(json);
        verb.SetAction(parsed =>
        {
            int bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 8 * Vector<byte>.Count;
            long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20;
            if (parsed.GetValue(json))
            {
                JsonObject cpu = new() { ["name"] = "cpu", ["processors"] = Environment.ProcessorCount, ["vector_bits"] = bits, ["memory_mib"] = memory };
                Console.Out.WriteLine(new JsonObject { ["devices"] = new JsonArray(cpu) }.ToJsonString());
                return ExitCodes.Done;
            }
            Console.Out.WriteLine($"cpu   {Environment.ProcessorCount} processors, {bits}-bit vectors, {memory} MiB of memory");
            Console.Out.WriteLine("cuda  not in this version yet");
            return ExitCodes.Done;
        });
        return verb;
    }
}
