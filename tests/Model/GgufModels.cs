using QSharp.Engine;

namespace QSharp.Tests.Model;

/// <summary>A complete GGUF model of a few tokens, for tests to vary.</summary>
internal static class GgufModels
{
    public const int Width = 8, Heads = 2, KvHeads = 1, Hidden = 6, Vocab = 10, Context = 16, Layers = 1;

    /// <param name="queryRows">The query product's rows [H·D, C] as the file is to have them; null: random.</param>
    public static GgufBuilder Llama(string architecture = "llama", float[]? queryRows = null)
    {
        int headSize = Width / Heads;
        GgufBuilder file = new GgufBuilder()
            .Text("general.architecture", architecture)
            .Integer($"{architecture}.block_count", Layers).Integer($"{architecture}.context_length", Context)
            .Integer($"{architecture}.embedding_length", Width).Integer($"{architecture}.feed_forward_length", Hidden)
            .Integer($"{architecture}.attention.head_count", Heads).Integer($"{architecture}.attention.head_count_kv", KvHeads)
            .Real($"{architecture}.attention.layer_norm_rms_epsilon", 1e-5f).Real($"{architecture}.rope.freq_base", 10000)
            .Text("tokenizer.ggml.model", "llama")
            .Texts("tokenizer.ggml.tokens", "<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab", "▁ab", "<0x41>")
            .Reals("tokenizer.ggml.scores", 0, 0, 0, -1e9f, -1e9f, -1e9f, -1, -2, -3, 0)
            .Integers("tokenizer.ggml.token_type", 2, 3, 3, 1, 1, 1, 1, 1, 1, 6)
            .Integer("tokenizer.ggml.bos_token_id", 1).Integer("tokenizer.ggml.eos_token_id", 2).Integer("tokenizer.ggml.unknown_token_id", 0)
            .Floats("token_embd.weight", [Vocab, Width], Random(1, Vocab * Width))
            .Floats("blk.0.attn_norm.weight", [Width], Random(2, Width)).Floats("blk.0.ffn_norm.weight", [Width], Random(3, Width))
            .Floats("blk.0.attn_q.weight", [Width, Width], queryRows ?? Random(4, Width * Width))
            .Floats("blk.0.attn_k.weight", [headSize, Width], Random(5, headSize * Width))
            .Floats("blk.0.attn_v.weight", [headSize, Width], Random(6, headSize * Width))
            .Floats("blk.0.attn_output.weight", [Width, Width], Random(7, Width * Width))
            .Floats("blk.0.ffn_gate.weight", [Hidden, Width], Random(8, Hidden * Width))
            .Floats("blk.0.ffn_up.weight", [Hidden, Width], Random(9, Hidden * Width))
            .Floats("blk.0.ffn_down.weight", [Width, Hidden], Random(10, Hidden * Width))
            .Floats("output_norm.weight", [Width], Random(11, Width));
        return file;
    }

    public static float[] Random(ulong seed, int count)
    {
        PhiloxStream random = new(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = random.NextNormal();
        return values;
    }
}
