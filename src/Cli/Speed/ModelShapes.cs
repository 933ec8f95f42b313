using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>Models by name whose speed can be measured without a file of theirs: the sizes of their configs, random weights.</summary>
internal static class ModelShapes
{
    public static IReadOnlyDictionary<string, TransformerConfig> All { get; } = new Dictionary<string, TransformerConfig>
    {
        ["llama-1b"] = Llama(layers: 16, width: 2048, heads: 32, kvHeads: 8, headDim: 64, hidden: 8192, vocab: 128256) with { TiedHead = true },
        ["llama-8b"] = Llama(layers: 32, width: 4096, heads: 32, kvHeads: 8, headDim: 128, hidden: 14336, vocab: 128256),
        ["qwen-1.5b"] = Llama(layers: 28, width: 1536, heads: 12, kvHeads: 2, headDim: 128, hidden: 8960, vocab: 151936) with { TiedHead = true, QkvBias = true },
        ["qwen-7b"] = Llama(layers: 28, width: 3584, heads: 28, kvHeads: 4, headDim: 128, hidden: 18944, vocab: 152064) with { QkvBias = true },
        ["gpt2"] = TransformerConfig.Gpt2(layers: 12, width: 768, heads: 12, vocab: 50257, context: 1024),
        ["tiny"] = Llama(layers: 2, width: 64, heads: 4, kvHeads: 2, headDim: 16, hidden: 128, vocab: 512),
    };

    private static TransformerConfig Llama(int layers, int width, int heads, int kvHeads, int headDim, int hidden, int vocab) => new()
    {
        Layers = layers,
        Width = width,
        Heads = heads,
        KvHeads = kvHeads,
        HeadDim = headDim,
        Hidden = hidden,
        Vocab = vocab,
        Context = 32768,
        Norm = Norm.RmsNorm,
        Mlp = Mlp.SwiGlu,
        Position = Position.Rope,
        RopeTheta = 500000,
    };
}
