using System.CommandLine;
using System.Globalization;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Cli.Verbs;

/// <summary>Says what this machine can compute on, and what a CUDA card would still need. Fails for nothing that is missing.</summary>
internal static class DevicesVerb
{
    public static Command Create()
    {
        Command verb = new("devices", "Devices of this machine; for CUDA also drivers and libraries, where they were found, and how to get what is missing.");
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
        verb.Options.Add(json);
        verb.SetAction(parsed =>
        {
            Run(parsed.GetValue(json), Console.Out);
            return ExitCodes.Done;
        });
        return verb;
    }

    internal static void Run(bool isJson, TextWriter output)
    {
        CudaMachine cuda = CudaMachine.Look();
        if (isJson) output.WriteLine(Json(cuda).ToJsonString());
        else Print(cuda, output);
    }

    private static int VectorBits => Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 8 * Vector<byte>.Count;

    private static long MemoryMib => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20;

    private static JsonObject Json(CudaMachine cuda)
    {
        JsonObject cpu = new() { ["name"] = "cpu", ["processors"] = Environment.ProcessorCount, ["vector_bits"] = VectorBits, ["memory_mib"] = MemoryMib };
        JsonArray devices = [cpu];
        foreach (CudaCard card in cuda.Cards)
        {
            CudaProperties properties = card.Properties;
            JsonObject json = new()
            {
                ["name"] = card.Name,
                ["card"] = properties.Name,
                ["compute_capability"] = Capability(properties),
                ["multiprocessors"] = properties.Multiprocessors,
                ["memory_mib"] = properties.MemoryBytes >> 20,
                ["l2_bytes"] = properties.L2Bytes,
                ["memory_gb_per_second"] = Math.Round(properties.MemoryBytesPerSecond / 1e9, 1),
            };
            if (card.FreeBytes is { } free) json["free_mib"] = free >> 20;
            if (card.Problem is { } problem) json["problem"] = problem;
            devices.Add((JsonNode)json);
        }
        JsonArray libraries = [.. cuda.Libraries.Select(Json)];
        JsonObject document = new() { ["devices"] = devices, ["libraries"] = libraries };
        if (cuda.Driver is { } driver) document["cuda_driver"] = driver;
        if (cuda.Nvrtc is { } nvrtc) document["nvrtc"] = nvrtc;
        if (cuda.Problem is { } missing) document["cuda_problem"] = missing;
        return document;
    }

    private static JsonNode Json(LibraryReport library)
    {
        JsonObject json = new() { ["name"] = library.Name, ["found"] = library.Found };
        if (library.Found is null)
        {
            json["tried"] = new JsonArray([.. library.Tried.Select(name => (JsonNode)name)]);
            json["advice"] = library.Advice;
        }
        return json;
    }

    private static void Print(CudaMachine cuda, TextWriter output)
    {
        output.WriteLine($"cpu     {Environment.ProcessorCount} processors, {VectorBits}-bit vectors, {MemoryMib} MiB of memory");
        foreach (CudaCard card in cuda.Cards)
        {
            CudaProperties properties = card.Properties;
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{card.Name,-6}  {properties.Name}, compute capability {Capability(properties)}, {Memory(card)}, {properties.Multiprocessors} multiprocessors, {properties.L2Bytes / (double)(1 << 20):0.#} MiB of L2; {(card.Problem is { } problem ? $"not usable: {problem}" : "kernels compile for it")}"));
        }
        if (cuda.Problem is { } missing) output.WriteLine($"cuda    {missing}");
        output.WriteLine();
        foreach (LibraryReport library in cuda.Libraries)
        {
            string version = library.Name switch
            {
                "cuda" when cuda.Driver is { } driver => $", driver for CUDA {driver}",
                "nvrtc" when cuda.Nvrtc is { } nvrtc => $", version {nvrtc}",
                _ => "",
            };
            output.WriteLine(library.Found is { } found
                ? $"{library.Name,-6}  found: {found}{version}"
                : $"{library.Name,-6}  not found: tried {string.Join(", ", library.Tried)}; {library.Advice}");
        }
    }

    private static string Memory(CudaCard card) =>
        card.FreeBytes is { } free ? $"{free >> 20} of {card.Properties.MemoryBytes >> 20} MiB of memory free" : $"{card.Properties.MemoryBytes >> 20} MiB of memory";

    private static string Capability(CudaProperties properties) => $"{properties.Architecture / 10}.{properties.Architecture % 10}";
}
