using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The one way between a checkpoint's tensors and a model's parameters: names matched exactly, stacked (q, k, v; gate, up)
/// and transposed as the family says. Every tensor must find its place.
/// </summary>
internal static class ModelTensors
{
    private const string LmHead = ModelFamily.LmHead;

    // Of one step of loading: little enough that it stays in a core's cache between widening and rounding.
    private const int PieceElements = 1 << 18;

    /// <summary>Checks that every tensor finds its place, by names and shapes alone; no memory is taken.</summary>
    /// <param name="guide">What the head is of, where the model is a guide with a trunk of its own.</param>
    /// <exception cref="UserException">A tensor is missing, unknown or has another shape.</exception>
    public static void Require(ITensorSource source, TransformerConfig config, ValueSettings? guide)
    {
        HeadShape head = guide is null ? HeadShape.Language(config) : ValueHead.ShapeOf(guide, config);
        Arena.Measure(arena => Places(source, new Weights(config, head, DType.F32, arena), config, head, isGuide: guide is not null));
    }

    /// <summary>Fills a model, several tensors at a time.</summary>
    /// <param name="round">
    /// Rounds every value to BF16, as a BF16 checkpoint of the model would hold it; values that the model keeps as F32 too.
    /// </param>
    /// <exception cref="UserException">A tensor is missing, unknown, has another shape, or holds what is no number.</exception>
    public static void Import(ITensorSource source, HeadedModel model, bool round)
    {
        List<Piece> pieces = [];
        foreach ((TensorEntry entry, TensorPart part, Tensor target) in Places(source, model.Weights, model.Config, model.HeadShape, model is ValueModel))
        {
            int rows = target.Shape.D0, length = (int)(target.Count / rows), step = part.IsTransposed ? rows : Math.Max(1, PieceElements / length);
            // A vector of a file with blocks is one row, so it is not cut.
            if (target.Shape.Rank == 1) step = rows;
            for (int row = 0; row < rows; row += step)
                pieces.Add(new Piece(entry.Name, (long)row * length, part.IsTransposed, target.Range(row, Math.Min(step, rows - row))));
        }
        try
        {
            Parallel.ForEach(pieces, () => Array.Empty<float>(), (piece, _, buffer) => Copy(source, piece, round, buffer), _ => { });
        }
        catch (AggregateException error)
        {
            throw error.InnerExceptions.OfType<UserException>().FirstOrDefault() ?? error.InnerExceptions[0];
        }
    }

    /// <summary>Where each tensor of a checkpoint goes.</summary>
    private static List<(TensorEntry Entry, TensorPart Part, Tensor Target)> Places(ITensorSource source, Weights weights, TransformerConfig config, HeadShape head, bool isGuide)
    {
        ModelFamily family = ModelFamily.Of(config);
        bool hasPrefix = source.Tensors.Any(tensor => tensor.Name.StartsWith(family.TrunkPrefix, StringComparison.Ordinal));
        Dictionary<string, TensorEntry> entries = source.Tensors.ToDictionary(entry => entry.Name);
        List<(TensorEntry Entry, TensorPart Part, Tensor Target)> places = [];
        HashSet<string> used = [];
        foreach ((string name, Tensor value, _) in weights.Named)
        {
            int row = 0;
            foreach (TensorPart part in Parts(name, config, head, isGuide))
            {
                string external = hasPrefix || !part.Name.StartsWith(family.TrunkPrefix, StringComparison.Ordinal) ? part.Name : part.Name[family.TrunkPrefix.Length..];
                // Some files hold a tied head under its own name alone.
                if (name == "tokens" && head.Tied && !entries.ContainsKey(external) && entries.ContainsKey(LmHead)) external = LmHead;
                used.Add(external);
                Tensor target = value.Range(row, part.Rows);
                places.Add((Checked(source, entries, external, part, target), part, target));
                row += part.Rows;
            }
        }
        foreach (TensorEntry entry in source.Tensors)
            if (!used.Contains(entry.Name) && !family.IsConstant(entry.Name) && !(head.Tied && entry.Name == LmHead))
                throw new UserException($"{source.Path}: the tensor '{entry.Name}' belongs to no part of the {config.Layers}-layer model that its config describes.");
        return places;
    }

    /// <summary>All parameters of a model as F32 tensors of a checkpoint.</summary>
    public static IEnumerable<SafeTensorsSource> Export(HeadedModel model)
    {
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            int row = 0;
            foreach (TensorPart part in Parts(name, model.Config, model.HeadShape, model is ValueModel))
            {
                Tensor rows = value.Range(row, part.Rows);
                float[] values = TensorValues.Read(rows);
                long[] shape = TensorValues.Shape(rows);
                if (part.IsTransposed)
                {
                    values = Transpose(values, rows.Shape.D0, rows.Shape.D1);
                    (shape[0], shape[1]) = (shape[1], shape[0]);
                }
                yield return SafeTensorsSource.FromFloats(part.Name, shape, values);
                row += part.Rows;
            }
        }
    }

    private static TensorPart[] Parts(string name, TransformerConfig config, HeadShape head, bool isGuide) => name switch
    {
        "head" => [new(isGuide ? ModelFamily.ValueHead : LmHead, head.Rows)],
        "head_bias" => [new(ModelFamily.ValueHeadBias, head.Rows)],
        _ => ModelFamily.Of(config).Parts(name, config),
    };

    private static TensorEntry Checked(ITensorSource source, Dictionary<string, TensorEntry> entries, string name, TensorPart part, Tensor target)
    {
        if (!entries.TryGetValue(name, out TensorEntry? entry))
            throw new UserException($"{source.Path}: there is no tensor '{name}' among its {entries.Count}, but the config calls for it; the files may be of another model, or one is missing.");
        long[] shape = TensorValues.Shape(target);
        if (part.IsTransposed) (shape[0], shape[1]) = (shape[1], shape[0]);
        if (!entry.Shape.AsSpan().SequenceEqual(shape))
            throw new UserException($"{source.Path}: {name} is [{string.Join(", ", entry.Shape)}], but config.json calls for [{string.Join(", ", shape)}].");
        return entry;
    }

    /// <returns>The buffer, for the next piece.</returns>
    private static float[] Copy(ITensorSource source, Piece piece, bool round, float[] buffer)
    {
        Tensor target = piece.Target;
        int count = checked((int)target.Count);
        if (target is { DType: DType.F32, Buffer.Device.IsHost: true } && !piece.IsTransposed && !round)
        {
            source.CopyTo(piece.Name, piece.First, target.Span<float>());
            TensorValues.RequireFinite(target.Span<float>(), source.Path, piece.Name);
            return buffer;
        }
        if (buffer.Length < count) buffer = GC.AllocateUninitializedArray<float>(count);
        Span<float> values = buffer.AsSpan(0, count);
        source.CopyTo(piece.Name, piece.First, values);
        TensorValues.RequireFinite(values, source.Path, piece.Name);
        if (piece.IsTransposed) values = Transpose(values, target.Shape.D1, target.Shape.D0);
        if (round && target.DType == DType.F32)
            foreach (ref float value in values) value = BFloat16.Widen(BFloat16.Round(value));
        TensorValues.Write(values, target);
        return buffer;
    }

    /// <summary>Some rows of a parameter and where they lie in the checkpoint's tensor.</summary>
    private readonly record struct Piece(string Name, long First, bool IsTransposed, Tensor Target);

    private static float[] Transpose(ReadOnlySpan<float> values, int rows, int columns)
    {
        float[] result = new float[values.Length];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c];
        return result;
    }
}
