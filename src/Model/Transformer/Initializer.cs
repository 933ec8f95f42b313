using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Fresh weights, drawn on the host from one Philox stream in the order of <see cref="Parameters.Named"/>.</summary>
public static class Initializer
{
    private const float EmbeddingDeviation = 0.5f;
    private const int PieceLength = 1 << 20;

    /// <summary>
    /// Variance-preserving values for small models trained from scratch: embeddings N(0, 0.5), products N(0, 1/√C), the
    /// products that end a branch scaled down by √(2L) (the MLP's by another half), norms 1, biases 0. GPT-2's 0.02
    /// everywhere needs several times the steps at this size.
    /// </summary>
    /// <param name="zeroHead">Value heads start at 0: every return equally likely, no tilt.</param>
    public static void Fresh(Weights weights, TransformerConfig config, ulong key, bool zeroHead)
    {
        PhiloxStream random = new(key);
        Fill(weights, config, zeroHead, (piece, deviation) =>
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
        Fill(weights, config, zeroHead: false, (piece, deviation) =>
        {
            for (int i = 0; i < piece.Length; i++) piece[i] = deviation * drawn[i];
        });
    }

    /// <summary>Writes all parameters, a piece at a time, so that the host never holds a whole matrix.</summary>
    /// <param name="draw">Fills a piece with normal values of a deviation.</param>
    private static void Fill(Weights weights, TransformerConfig config, bool zeroHead, Draw draw)
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
                "qkv" or "up" => product,
                "out" => branchEnd,
                "down" => branchEnd / 2,
                "head" => zeroHead ? 0 : product,
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

    private delegate void Draw(Span<float> piece, float deviation);

    /// <summary>Copies every parameter that both models have under the same name and shape: a guide starts from its reference's trunk.</summary>
    /// <param name="except">Names that are left alone.</param>
    public static void CopyShared(Parameters from, Parameters to, params ReadOnlySpan<string> except)
    {
        foreach ((string name, Tensor value, _) in to.Named)
        {
            if (except.Contains(name)) continue;
            Tensor source = from.Named.FirstOrDefault(parameter => parameter.Name == name).Value;
            if (source.IsNone || source.Shape != value.Shape) continue;
            TensorValues.Write(TensorValues.Read(source), value);
        }
    }
}
