using System.Text;

namespace QSharp.Model;

/// <summary>
/// Turns text into the ids of tokens and back, exactly as the Hugging Face tokenizers library does with the same tokenizer.json:
/// added tokens are cut out, the text between them is normalized and cut into pieces, each piece is encoded by byte pairs.
/// Made by <see cref="TokenizerLoader"/>; safe to use from several threads.
/// </summary>
public sealed class Tokenizer
{
    private readonly BpeModel _model;
    private readonly string?[] _tokens;
    private readonly AddedToken[] _added;
    private readonly AddedTokens _rawTokens, _normalizedTokens;
    private readonly HashSet<int> _special;
    private readonly Normalizer _normalizer;
    private readonly PreTokenizer[] _preTokenizers;
    private readonly PostProcessor _postProcessor;
    private readonly Func<DecodingStep[]> _decoder;
    private readonly Lazy<string> _fingerprint;

    internal Tokenizer(
        BpeModel model, string?[] tokens, AddedToken[] added, Normalizer normalizer, PreTokenizer[] preTokenizers,
        PostProcessor postProcessor, Func<DecodingStep[]> decoder)
    {
        (_model, _tokens, _added, _normalizer) = (model, tokens, added, normalizer);
        (_preTokenizers, _postProcessor, _decoder) = (preTokenizers, postProcessor, decoder);
        _rawTokens = new AddedTokens(added.Where(token => !token.Normalized).Select(token => (token.Content, token)));
        _normalizedTokens = new AddedTokens(
            added.Where(token => token.Normalized).Select(token => (normalizer.Apply(token.Content), token)));
        _special = [.. added.Where(token => token.Special).Select(token => token.Id)];
        _fingerprint = new Lazy<string>(() => TokenizerFingerprint.Of(
            tokens, model.Merges, _special, normalizer.Meaning + string.Concat(preTokenizers.Select(step => step.Meaning))));
    }

    /// <summary>The highest id plus one. Some ids below it may have no token, and a model may have rows beyond it.</summary>
    public int Count => _tokens.Length;

    /// <summary>
    /// What identifies the tokenizer: SHA-256, in hex, over tokens, merges, special ids and the way a text is cut. The same for each
    /// document that means the same, however it is written.
    /// </summary>
    public string Fingerprint => _fingerprint.Value;

    /// <summary>The ids of a text. Special tokens that are written in it, such as &lt;/s&gt;, are recognised.</summary>
    /// <param name="special">Whether the tokenizer adds what it puts around a text, such as a first BOS.</param>
    public int[] Encode(string text, bool special = true)
    {
        List<int> ids = new(text.Length / 2 + 4);
        if (special) ids.AddRange(_postProcessor.Before);
        PairJoiner joiner = new(_model.Merges);
        foreach (Section raw in _rawTokens.Split(new Section(WithoutHalves(text), null, true)))
        {
            if (raw.Id is int id) ids.Add(id);
            else EncodeBetween(raw, joiner, ids);
        }
        if (special) ids.AddRange(_postProcessor.After);
        return [.. ids];
    }

    /// <summary>The text of ids; those without a token are dropped, bytes that are no UTF-8 become U+FFFD.</summary>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true)
    {
        TokenStream stream = Stream(skipSpecial);
        StringBuilder text = new();
        foreach (int id in ids) text.Append(stream.Append(id));
        return text.Append(stream.Finish()).ToString();
    }

    /// <summary>Decodes ids as they come.</summary>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    public TokenStream Stream(bool skipSpecial = true) => new(this, _decoder(), skipSpecial);

    /// <summary>A token as the vocabulary writes it, or null where an id has none.</summary>
    public string? Token(int id) => id >= 0 && id < _tokens.Length ? _tokens[id] : null;

    /// <summary>The id of a token as the vocabulary writes it, or null.</summary>
    public int? Find(string token) =>
        _added.FirstOrDefault(added => added.Content == token)?.Id ?? (_model.Vocabulary.TryGetValue(token, out int id) ? id : null);

    /// <summary>Whether an id has a token.</summary>
    public bool Has(int id) => Token(id) is not null;

    /// <summary>Whether a token marks something, such as the end of the text, and is no text itself.</summary>
    public bool IsSpecial(int id) => _special.Contains(id);

    private void EncodeBetween(Section raw, PairJoiner joiner, List<int> ids)
    {
        foreach (Section section in _normalizedTokens.Split(raw with { Text = _normalizer.Apply(raw.Text) }))
        {
            if (section.Id is int id)
            {
                ids.Add(id);
                continue;
            }
            foreach (Piece piece in Pieces(section)) _model.Encode(piece.Text.Span, joiner, ids);
        }
    }

    private List<Piece> Pieces(Section section)
    {
        List<Piece> pieces = [new Piece(section.Text.AsMemory(), section.AtStart)];
        foreach (PreTokenizer step in _preTokenizers)
        {
            List<Piece> parts = new(pieces.Count);
            foreach (Piece piece in pieces) step.Split(piece, parts);
            pieces = parts;
        }
        return pieces;
    }

    /// <summary>Puts U+FFFD for each half of a surrogate pair that stands alone.</summary>
    private static string WithoutHalves(string text) =>
        text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF') ? Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)) : text;
}
