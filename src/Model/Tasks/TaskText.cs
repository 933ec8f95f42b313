namespace QSharp.Model;

/// <summary>What every task of text has of its model: the tokenizer, the tokens that end a response, and the text of one.</summary>
internal sealed class TaskText(ModelFiles model)
{
    private readonly HashSet<int> _stops = [.. model.EndIds];

    public Tokenizer Tokenizer { get; } = model.Tokenizer;

    /// <summary>Ids that can come: those of the tokenizer that the model has rows for.</summary>
    public int Vocabulary { get; } = Math.Min(model.Tokenizer.Count, model.Transformer.Vocab);

    public IReadOnlyList<int> Stops { get; } = model.EndIds;

    /// <summary>A response without the token that ended it.</summary>
    /// <param name="ended">Whether it ended by itself.</param>
    public string Of(ReadOnlySpan<int> response, out bool ended)
    {
        ended = response.Length > 0 && _stops.Contains(response[^1]);
        return Tokenizer.Decode(ended ? response[..^1] : response);
    }
}
