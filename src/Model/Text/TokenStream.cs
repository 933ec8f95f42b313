namespace QSharp.Model;

/// <summary>
/// The text of ids as they come: what is given is certain, so no character is ever taken back, and all of it together is what
/// <see cref="Tokenizer.Decode"/> gives. One thread at a time.
/// </summary>
public sealed class TokenStream
{
    private readonly Tokenizer _tokenizer;
    private readonly DecodingStep[] _steps;
    private readonly bool _skipSpecial;

    internal TokenStream(Tokenizer tokenizer, DecodingStep[] steps, bool skipSpecial) =>
        (_tokenizer, _steps, _skipSpecial) = (tokenizer, steps, skipSpecial);

    /// <summary>Takes the next id and gives the text that is certain now: often that of the token, nothing inside a character.</summary>
    public string Append(int id) =>
        _tokenizer.Token(id) is not { } token || (_skipSpecial && _tokenizer.IsSpecial(id)) ? "" : Run([token], isLast: false);

    /// <summary>Gives what was held back; the stream is then at its end.</summary>
    public string Finish() => Run([], isLast: true);

    private string Run(List<string> texts, bool isLast)
    {
        foreach (DecodingStep step in _steps)
        {
            List<string> output = new(texts.Count);
            foreach (string text in texts) step.Push(text, output);
            if (isLast) step.Finish(output);
            texts = output;
        }
        return texts.Count == 1 ? texts[0] : string.Concat(texts);
    }
}
