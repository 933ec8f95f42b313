using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Fresh weights, drawn on the host from one Philox stream in the order of <see cref="Parameters.Named"/>.</summary>
public static class Initializer
{
    private const float EmbeddingDeviation = 0.5f;

    /// <summary>
    /// Variance-preserving values for small models trained from scratch: embeddings N(0, 0.5), products N(0, 1/√C), the
    /// products that end a branch scaled down by √(2L) (the MLP's by another half), norms 1, biases 0. GPT-2's 0.02
    /// everywhere needs several times the steps at this size.
    /// </summary>
    /// <param name="zeroHead">Value heads start at 0: every return equally likely, no tilt.</param>
    public static void Fresh(Weights weights, TransformerConfig config, ulong key, bool zeroHead)
    {
        PhiloxStream random = new(key);
        float product = 1 / MathF.Sqrt(config.Width);
        float branchEnd = product / MathF.Sqrt(2 * config.Layers);
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
            float[] values = new float[value.Count];
            for (int i = 0; i < values.Length; i++) values[i] = deviation == 0 ? constant : deviation * random.NextNormal();
            TensorValues.Write(values, value);
        }
    }

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
