namespace QSharp.Model;

/// <summary>What a conversion has written.</summary>
public sealed record Conversion(string Path, int Tensors, long Parameters, long Bytes);

/// <summary>Writes a GGUF file as the Hugging Face folder that it stands for, every value rounded to BF16.</summary>
public static class GgufConverter
{
    // Of one step: what is in memory of a tensor at a time, in elements.
    private const int PieceElements = 1 << 22;

    /// <summary>
    /// config.json, generation_config.json, tokenizer.json, tokenizer_config.json with the chat template, and the weights in
    /// one file, or in several with an index above 5 GB. Tensors are converted piece by piece. The folder appears whole or
    /// not at all.
    /// </summary>
    /// <exception cref="Engine.UserException">The file is not supported, or the folder cannot be written.</exception>
    public static Conversion Write(GgufCheckpoint checkpoint, string folder, IProgressSink progress, CancellationToken stop)
    {
        IReadOnlyList<TensorEntry> tensors = checkpoint.Tensors;
        long parameters = tensors.Sum(tensor => tensor.Count), done = 0;
        progress.Start("convert", parameters);
        AtomicFolder.Write(folder, partial =>
        {
            // The tokenizer first: it is the likelier one to be refused, and that before hundreds of megabytes are written.
            JsonFile.Write(Path.Combine(partial, "tokenizer.json"), checkpoint.TokenizerJson);
            JsonFile.Write(Path.Combine(partial, "tokenizer_config.json"), checkpoint.TokenizerConfig);
            JsonFile.Write(Path.Combine(partial, "config.json"), checkpoint.Config);
            JsonFile.Write(Path.Combine(partial, "generation_config.json"), checkpoint.GenerationConfig);
            SafeTensorsFolder.Write(partial, tensors.Select(tensor => Source(checkpoint, tensor, Report)), new Dictionary<string, string> { ["format"] = "pt" });
        });
        progress.Finish($"{tensors.Count} tensors");
        return new Conversion(folder, tensors.Count, parameters, Directory.EnumerateFiles(folder).Sum(file => new FileInfo(file).Length));

        void Report(int elements)
        {
            stop.ThrowIfCancellationRequested();
            progress.Report(done += elements, []);
        }
    }

    private static SafeTensorsSource Source(GgufCheckpoint checkpoint, TensorEntry tensor, Action<int> report) =>
        new(tensor.Name, "BF16", tensor.Shape, stream =>
        {
            long length = tensor.Shape[^1], rows = Math.Max(1, PieceElements / length);
            float[] values = new float[Math.Min(rows * length, tensor.Count)];
            for (long first = 0; first < tensor.Count; first += values.Length)
            {
                Span<float> piece = values.AsSpan(0, (int)Math.Min(values.Length, tensor.Count - first));
                checkpoint.CopyTo(tensor.Name, first, piece);
                SafeTensorsFloats.Write(stream, piece, "BF16");
                report(piece.Length);
            }
        });
}
