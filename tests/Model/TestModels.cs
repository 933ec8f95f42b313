using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>Small models of each family with weights that leave nothing at 0 or 1.</summary>
internal static class TestModels
{
    public static TransformerConfig Config(string family, int vocab = 13, int context = 32, int layers = 2, int width = 32)
    {
        TransformerConfig gpt2 = TransformerConfig.Gpt2(layers, width, heads: 4, vocab, context);
        TransformerConfig llama = gpt2 with
        {
            KvHeads = 2,
            Hidden = 3 * width,
            Norm = Norm.RmsNorm,
            Mlp = Mlp.SwiGlu,
            Position = Position.Rope,
            QkvBias = false,
            OtherBias = false,
            TiedHead = false,
        };
        return family switch
        {
            "gpt2" => gpt2,
            "gpt2-untied" => gpt2 with { TiedHead = false },
            "llama" => llama,
            "qwen2" => llama with { QkvBias = true, TiedHead = true, RopeTheta = 1e6f, NormEpsilon = 1e-6f },
            "qwen3" => llama with { QkNorm = true, HeadDim = 12, TiedHead = true },
            _ => throw new ArgumentException($"No family {family}."),
        };
    }

    public static LanguageModel Language(Ops ops, TransformerConfig config, ulong seed)
    {
        LanguageModel model = new(ops, config);
        Randomize(model, seed);
        return model;
    }

    public static ValueModel Value(Ops ops, TransformerConfig config, ValueSettings settings, ulong seed)
    {
        ValueModel model = new(ops, config, settings);
        Randomize(model, seed);
        return model;
    }

    public static void Randomize(HeadedModel model, ulong seed)
    {
        PhiloxStream random = new(seed);
        float product = 1 / MathF.Sqrt(model.Config.Width);
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            bool isScale = name.EndsWith("norm1", StringComparison.Ordinal) || name.EndsWith("norm2", StringComparison.Ordinal)
                || name.EndsWith("query_norm", StringComparison.Ordinal) || name.EndsWith("key_norm", StringComparison.Ordinal)
                || name == "final_norm";
            float deviation = name is "tokens" or "positions" ? 0.5f : value.Shape.Rank == 2 ? product : 0.2f;
            foreach (ref float x in value.Span<float>()) x = (isScale ? 1 : 0) + deviation * random.NextNormal();
        }
    }

    public static int[] RandomTokens(ulong seed, int count, int vocab)
    {
        PhiloxStream random = new(seed);
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++) tokens[i] = random.NextInt(vocab);
        return tokens;
    }

    /// <summary>Hidden states [T, C] of one whole row.</summary>
    /// <param name="bidirectional">Leading tokens that see one another in both directions.</param>
    /// <param name="layer">Whose output, 1 the first; 0: the last one's, after the final norm.</param>
    public static float[] Hidden(HeadedModel model, int[] tokens, int bidirectional = 0, int layer = 0)
    {
        int time = tokens.Length;
        ((TokenBatch batch, Activations activations), DeviceBuffer memory) = Arena.Build(
            model.Ops.Device, arena => (new TokenBatch(1, time, arena), new Activations(model.Config, 1, time, model.ActivationType, arena)));
        using (memory)
        {
            tokens.CopyTo(batch.Tokens.Span<int>());
            for (int t = 0; t < time; t++) batch.Positions.Span<int>()[t] = t;
            (batch.Spans.Span<int>()[1], batch.Spans.Span<int>()[2]) = (bidirectional, time);
            model.Trunk.Forward(batch, activations);
            return (layer == 0 ? activations.Hidden : activations.Stream(layer)).Span<float>().ToArray();
        }
    }

    /// <summary>The head's outputs for one hidden state of a whole row.</summary>
    /// <param name="at">The token whose hidden state is read.</param>
    /// <param name="judged">The token that the outputs speak of.</param>
    public static double[] Outputs(HeadedModel model, int[] tokens, int bidirectional, int at, int judged)
    {
        int width = model.Config.Width;
        float[] hidden = Hidden(model, tokens, bidirectional);
        ((Tensor row, Tensor token, Tensor outputs), DeviceBuffer memory) = Arena.Build(
            model.Ops.Device, arena => (arena.Take((1, width)), arena.Take(1, DType.I32), arena.Take((1, model.Head.Outputs))));
        using (memory)
        {
            hidden.AsSpan(at * width, width).CopyTo(row.Span<float>());
            token.Span<int>()[0] = judged;
            model.Head.Forward(row, token, outputs);
            return [.. outputs.Span<float>().ToArray().Select(x => (double)x)];
        }
    }
}

/// <summary>The same rows at every step.</summary>
/// <param name="firstLoss">Index of each row's first token with loss; the prompt lies before it.</param>
/// <param name="settings">Of the value model that reads the rows; null for a language model.</param>
internal sealed class FixedRows(int[][] rows, int[] firstLoss, float[] returns, ValueSettings? settings) : IBatchSource
{
    /// <summary>One more than the longest row, so that every row has padding.</summary>
    public int Time => rows.Max(row => row.Length) + 1;

    public int LossesPerRow => rows.Zip(firstLoss, (row, first) => row.Length - first).Max();

    public void Fill(int step, TrainBatch batch)
    {
        for (int row = 0; row < batch.Rows; row++)
        {
            int bidirectional = settings is { BidirectionalPrompt: true } ? firstLoss[row] : 0;
            batch.SetRow(row, rows[row], firstLoss[row], bidirectional, settings?.Kind == HeadKind.V, returns[row], 1f / batch.Rows);
        }
    }
}
