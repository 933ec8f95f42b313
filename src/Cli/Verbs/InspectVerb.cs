using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What a model folder or file holds, and what it takes to run it.</summary>
internal static class InspectVerb
{
    public static Command Create()
    {
        Command verb = new("inspect", "Config, tensors and memory plan of a model folder, a guide's folder, a safetensors file or a GGUF file; says whether it is well-formed.");
        Argument<string> path = new("PATH") { Description = "The folder or file." };
        Option<int> context = OptionFactory.Integer("--context", "Tokens of the KV cache in the memory plan; 0 takes the model's context.", 0, 0);
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one JSON document.");
        verb.Arguments.Add(path);
        verb.Options.Add(context);
        verb.Options.Add(json);
        verb.SetAction(parsed =>
        {
            using Inspection inspection = Inspection.Open(parsed.GetValue(path)!);
            if (parsed.GetValue(json)) Console.Out.WriteLine(Json(inspection, parsed.GetValue(context)).ToJsonString());
            else Print(inspection, parsed.GetValue(context));
            return ExitCodes.Done;
        });
        return verb;
    }

    private static JsonObject Json(Inspection inspection, int context)
    {
        JsonObject metadata = [];
        foreach ((string key, string value) in inspection.Metadata) metadata[key] = value;
        JsonObject json = new()
        {
            ["valid"] = true,
            ["format"] = inspection.Format,
            ["metadata"] = metadata,
            ["tensors"] = new JsonArray([.. inspection.Tensors.Select(tensor => (JsonNode)new JsonObject
            {
                ["name"] = tensor.Name,
                ["dtype"] = tensor.DType,
                ["shape"] = new JsonArray([.. tensor.Shape.Select(size => (JsonNode)size)]),
                ["bytes"] = tensor.Bytes,
            })]),
            ["parameters"] = inspection.Tensors.Sum(tensor => tensor.Count),
        };
        if (inspection.Unsupported is { } reason) json["unsupported"] = reason;
        if (inspection.Guide is { } guide) json["guide"] = guide.ToJson();
        if (inspection.Config is not { } config) return json;
        int tokens = context > 0 ? context : config.Context;
        json["config"] = Summary(config);
        json["memory"] = new JsonObject
        {
            ["weights_f32"] = MemoryPlan.Weights(config, DType.F32, inspection.Guide?.Settings),
            ["weights_bf16"] = MemoryPlan.Weights(config, DType.BF16, inspection.Guide?.Settings),
            ["context"] = tokens,
            ["kv_cache_f32"] = MemoryPlan.KvCache(config, tokens, DType.F32),
            ["kv_cache_bf16"] = MemoryPlan.KvCache(config, tokens, DType.BF16),
        };
        return json;
    }

    private static JsonObject Summary(TransformerConfig c) => new()
    {
        ["layers"] = c.Layers,
        ["width"] = c.Width,
        ["heads"] = c.Heads,
        ["kv_heads"] = c.KvHeads,
        ["head_size"] = c.HeadDim,
        ["hidden"] = c.Hidden,
        ["vocabulary"] = c.Vocab,
        ["context"] = c.Context,
        ["norm"] = c.Norm.ToString(),
        ["mlp"] = c.Mlp.ToString(),
        ["position"] = c.Position.ToString(),
        ["qkv_bias"] = c.QkvBias,
        ["qk_norm"] = c.QkNorm,
        ["tied_head"] = c.TiedHead,
    };

    private static void Print(Inspection inspection, int context)
    {
        Console.Out.WriteLine($"{inspection.Path}: well-formed {inspection.Format}");
        if (inspection.Unsupported is { } reason) Console.Out.WriteLine($"Not a model that can be run here: {reason}");
        if (inspection.Guide is { } guide) PrintGuide(guide);
        if (inspection.Config is { } config) PrintConfig(config, inspection.Guide, context > 0 ? context : config.Context);
        Console.Out.WriteLine();
        foreach (IGrouping<string, TensorEntry> type in inspection.Tensors.GroupBy(tensor => tensor.DType).OrderBy(type => type.Key, StringComparer.Ordinal))
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{type.Key,-6} {type.Count(),5} tensors  {type.Sum(tensor => tensor.Count),15:N0} parameters  {Size(type.Sum(tensor => tensor.Bytes)),10}"));
        Console.Out.WriteLine();
        List<string[]> rows = [["tensor", "type", "shape", "bytes"]];
        foreach (TensorEntry tensor in inspection.Tensors)
            rows.Add([TextInput.Visible(tensor.Name), tensor.DType, $"[{string.Join(", ", tensor.Shape)}]", tensor.Bytes.ToString("N0", CultureInfo.InvariantCulture)]);
        ResultTable.Print(Console.Out, rows);
    }

    private static void PrintGuide(GuideDescription guide)
    {
        (ValueSettings settings, GuideOrigin origin) = (guide.Settings, guide.Origin);
        string family = settings.Family.Kind == FamilyKind.Bernoulli
            ? "chance of a reward"
            : string.Create(CultureInfo.InvariantCulture, $"distribution over {settings.Family.Atoms} rewards from {settings.Family.Min} to {settings.Family.Max}");
        if (settings.Eta is { } eta)
            family = string.Create(CultureInfo.InvariantCulture, $"{(settings.Target == ValueTarget.SoftValue ? "soft values" : "e^(R/η)")} for η = {eta} alone");
        string trunk = guide.SharesTrunk ? $"a head on its reference's hidden states{(guide.Layer > 0 ? $" of layer {guide.Layer}" : "")}" : "a trunk of its own";
        string from = origin.Initial is { } initial ? $", started from another model ({initial[..Math.Min(12, initial.Length)]}…)" : "";
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"""
            guide: {trunk}, {(settings.Kind == HeadKind.V ? "read at a token (v)" : "read before a token (q)")}, {family}{(settings.BidirectionalPrompt ? ", bidirectional prompt" : "")}{(settings.HasPromptValue ? ", of prompts too" : "")}{from}
            for: {origin.Task}, reference {origin.Reference[..Math.Min(12, origin.Reference.Length)]}…, whose roll-outs were at temperature {origin.Temperature} and top-p {origin.TopP}
            """));
    }

    private static void PrintConfig(TransformerConfig c, GuideDescription? guide, int context)
    {
        string heads = c.KvHeads == c.Heads ? $"{c.Heads} heads" : $"{c.Heads} heads sharing {c.KvHeads} of keys and values";
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"""
            {c.Layers} layers, width {c.Width}, {heads} of size {c.HeadDim}, hidden {c.Hidden}, vocabulary {c.Vocab:N0}, context {c.Context:N0}
            {c.Norm}, {c.Mlp}, {c.Position} positions{(c.QkvBias ? ", q/k/v biases" : "")}{(c.QkNorm ? ", q/k norms" : "")}, {(guide is not null ? "value" : c.TiedHead ? "tied" : "own")} head

            memory: weights {Size(MemoryPlan.Weights(c, DType.F32, guide?.Settings))} as f32 or {Size(MemoryPlan.Weights(c, DType.BF16, guide?.Settings))} as bf16; KV cache of {context:N0} tokens {Size(MemoryPlan.KvCache(c, context, DType.F32))} a row as f32 (on the CPU) or {Size(MemoryPlan.KvCache(c, context, DType.BF16))} as bf16 (on CUDA)
            """));
    }

    private static string Size(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.00} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
    };
}
