using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Fresh weights, drawn on the host from one Philox stream in the order of <see cref="Parameters.Named"/>.</summary>
public static class Initializer
{
    private const float EmbeddingDeviation = 0.5f, ValueHeadDeviation = 0.02f;
    private const int PieceLength = 1 << 20;

    /// <summary>
    /// Variance-preserving values for small models trained from scratch: embeddings N(0, 0.5), products N(0, 1/√C), the
    /// products that end a branch scaled down by √(2L) (the MLP's by another half), norms 1, biases 0. GPT-2's 0.02
    /// everywhere needs several times the steps at this size.
    /// </summary>
    public static void Fresh(Weights weights, TransformerConfig config, ulong key)
    {
        PhiloxStream random = new(key);
        Fill(weights, config, (piece, deviation) =>
        {
            foreach (ref float value in piece) value = deviation * random.NextNormal();
        });
    }

    /// <summary>
    /// Values of the same size as fresh ones, but one drawn piece over and over: for measuring speed at billions of parameters,
    /// which takes many minutes to draw one by one.
    /// </summary>
    public static void Repeating(Weights weights, TransformerConfig config, ulong key)
    {
        PhiloxStream random = new(key);
        float[] drawn = new float[PieceLength];
        foreach (ref float value in drawn.AsSpan()) value = random.NextNormal();
        Fill(weights, config, (piece, deviation) =>
        {
            for (int i = 0; i < piece.Length; i++) piece[i] = deviation * drawn[i];
        });
    }

    /// <summary>A head on its reference's hidden states: the first layer draws from N(0, 1/C), and what comes after it stays 0.</summary>
    /// <param name="weights">In new memory.</param>
    public static void Head(SharedHeadWeights weights, ulong key)
    {
        PhiloxStream random = new(key);
        int width = weights.Up.Shape.Last;
        float deviation = 1 / MathF.Sqrt(width);
        float[] up = new float[weights.Up.Count];
        foreach (ref float value in up.AsSpan()) value = deviation * random.NextNormal();
        TensorValues.Write(up, weights.Up);
        TensorValues.Write([.. Enumerable.Repeat(1f, width)], weights.Norm);
    }

    /// <summary>Writes all parameters, a piece at a time, so that the host never holds a whole matrix.</summary>
    /// <param name="draw">Fills a piece with normal values of a deviation.</param>
    private static void Fill(Weights weights, TransformerConfig config, Draw draw)
    {
        float product = 1 / MathF.Sqrt(config.Width);
        float branchEnd = product / MathF.Sqrt(2 * config.Layers);
        float[] values = new float[PieceLength];
        foreach ((string name, Tensor value, _) in weights.Named)
        {
            string kind = name[(name.LastIndexOf('.') + 1)..];
            float deviation = kind switch
            {
                "tokens" or "positions" => EmbeddingDeviation,
                "qkv" or "up" or "head" => product,
                "out" => branchEnd,
                "down" => branchEnd / 2,
                _ => 0,
            };
            float constant = kind is "norm1" or "norm2" or "final_norm" or "query_norm" or "key_norm" ? 1 : 0;
            Tensor flat = value.As((int)value.Count);
            for (int first = 0; first < value.Count; first += PieceLength)
            {
                Span<float> piece = values.AsSpan(0, (int)Math.Min(PieceLength, value.Count - first));
                if (deviation == 0) piece.Fill(constant);
                else draw(piece, deviation);
                TensorValues.Write(piece, flat.Range(first, piece.Length));
            }
        }
    }

    /// <summary>Fills a value head.</summary>
    /// <param name="from">The language model that the guide's trunk is from.</param>
    /// <param name="key">Of random values.</param>
    public static void Head(ValueModel guide, LanguageModel from, HeadInit init, ulong key)
    {
        Tensor head = guide.Weights.Head, bias = guide.Weights.HeadBias;
        if (!bias.IsNone) TensorValues.Write(new float[bias.Count], bias);
        PhiloxStream random = new(key);
        int rows = head.Shape.D0, width = head.Shape.D1, copies = init == HeadInit.Reuse ? guide.Settings.Family.Atoms : 1;
        int step = Math.Max(1, PieceLength / (width * copies)) * copies;
        for (int first = 0; first < rows; first += step)
        {
            Tensor piece = head.Range(first, Math.Min(step, rows - first));
            float[] values = new float[piece.Count];
            if (init == HeadInit.Random)
                foreach (ref float value in values.AsSpan()) value = ValueHeadDeviation * random.NextNormal();
            if (init == HeadInit.Reuse)
            {
                float[] source = TensorValues.Read(from.Weights.Head.Range(first / copies, piece.Shape.D0 / copies));
                for (int row = 0; row < piece.Shape.D0; row++) source.AsSpan(row / copies * width, width).CopyTo(values.AsSpan(row * width));
            }
            TensorValues.Write(values, piece);
        }
    }

    private delegate void Draw(Span<float> piece, float deviation);

    /// <summary>
    /// Copies every parameter that both models have under the same name and shape: a guide starts from its reference's trunk, a lagged copy
    /// from its guide. On one device nothing passes through the host.
    /// </summary>
    /// <param name="ops">Of the device that is copied to.</param>
    /// <param name="except">Names that are left alone.</param>
    public static void CopyShared(Ops ops, Parameters from, Parameters to, params ReadOnlySpan<string> except)
    {
        Dictionary<string, Tensor> sources = from.Named.ToDictionary(parameter => parameter.Name, parameter => parameter.Value);
        foreach ((string name, Tensor value, _) in to.Named)
        {
            if (except.Contains(name) || !sources.TryGetValue(name, out Tensor source) || source.Shape != value.Shape) continue;
            if (source.Buffer!.Device != ops.Device) TensorValues.Write(TensorValues.Read(source), value);
            else if (source.DType == value.DType) ops.Copy(source, value);
            else ops.Cast(source, value);
        }
    }
}
