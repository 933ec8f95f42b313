using System.Text;
using System.Text.RegularExpressions;

namespace QSharp.Model;

/// <summary>A stretch of text that merges do not leave.</summary>
/// <param name="Text">Its characters.</param>
/// <param name="AtStart">Whether the whole text begins with it.</param>
internal readonly record struct Piece(ReadOnlyMemory<char> Text, bool AtStart)
{
    public Piece Part(int start, int end) => new(Text[start..end], AtStart && start == 0);
}

/// <summary>How a text is cut into pieces; several of these act one after another.</summary>
internal abstract class PreTokenizer
{
    /// <summary>What it does, in words that do not depend on how a document spells it.</summary>
    public abstract string Meaning { get; }

    public static PreTokenizer[] Read(Component? component)
    {
        if (component is null) return [];
        PreTokenizer[] steps = component.Type switch
        {
            "ByteLevel" => ByteLevel(component),
            "Split" => [SplitPreTokenizer.Of(component)],
            "Digits" => [new SplitPreTokenizer(@"\p{N}", component.Flag("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous, false)],
            "Metaspace" => Metaspace(component),
            "Sequence" => [.. component.List("pretokenizers").SelectMany(Read)],
            _ => throw component.Unknown("ByteLevel, Split, Digits, Metaspace and Sequence"),
        };
        component.End("trim_offsets");   // offsets are not given here
        return steps;
    }

    /// <summary>Adds the parts of a piece to a list.</summary>
    public abstract void Split(Piece piece, List<Piece> parts);

    private static PreTokenizer[] ByteLevel(Component component) =>
    [
        .. component.Flag("add_prefix_space", true) ? (PreTokenizer[])[new PrefixPreTokenizer(" ", false)] : [],
        .. component.Flag("use_regex", true) ? (PreTokenizer[])[new SplitPreTokenizer(SplitPreTokenizer.Gpt2, SplitBehavior.Isolated, false)] : [],
        new BytesPreTokenizer(),
    ];

    private static PreTokenizer[] Metaspace(Component component)
    {
        string mark = component.Text("replacement");
        bool always = component.Flag("add_prefix_space", true);   // the older spelling of prepend_scheme
        string scheme = component.TextOrNull("prepend_scheme") ?? (always ? "always" : "never");
        component.TextOrNull("str_rep");   // a copy of the replacement in older files
        if (scheme is not ("always" or "first" or "never")) throw component.Unsupported($"the prepend_scheme '{scheme}'");
        return
        [
            new MarkPreTokenizer(mark),
            .. scheme == "never" ? (PreTokenizer[])[] : [new PrefixPreTokenizer(mark, scheme == "first")],
            .. component.Flag("split", true) ? (PreTokenizer[])[new SplitPreTokenizer(Regex.Escape(mark), SplitBehavior.MergedWithNext, false)] : [],
        ];
    }
}

/// <summary>Puts a prefix in front of each piece that does not begin with it, or only in front of the text's first piece.</summary>
internal sealed class PrefixPreTokenizer(string prefix, bool onlyAtStart) : PreTokenizer
{
    public override string Meaning => $"Prefix {prefix.Length}:{prefix}{(onlyAtStart ? " first" : "")};";

    public override void Split(Piece piece, List<Piece> parts) => parts.Add(
        piece.Text.Span.StartsWith(prefix) || (onlyAtStart && !piece.AtStart)
            ? piece
            : new Piece(string.Concat(prefix, piece.Text.Span).AsMemory(), piece.AtStart));
}

/// <summary>Writes each space as a mark.</summary>
internal sealed class MarkPreTokenizer(string mark) : PreTokenizer
{
    public override string Meaning => $"Mark {mark.Length}:{mark};";

    public override void Split(Piece piece, List<Piece> parts) =>
        parts.Add(piece with { Text = piece.Text.ToString().Replace(" ", mark, StringComparison.Ordinal).AsMemory() });
}

/// <summary>Writes each piece in the <see cref="ByteAlphabet"/>.</summary>
internal sealed class BytesPreTokenizer : PreTokenizer
{
    public override string Meaning => "Bytes;";

    public override void Split(Piece piece, List<Piece> parts)
    {
        ReadOnlySpan<char> text = piece.Text.Span;
        if (!text.ContainsAnyExceptInRange('!', '~'))
        {
            parts.Add(piece);   // these stand for themselves
            return;
        }
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        parts.Add(piece with { Text = string.Create(bytes.Length, bytes, Spell).AsMemory() });
    }

    private static void Spell(Span<char> characters, byte[] bytes)
    {
        for (int i = 0; i < bytes.Length; i++) characters[i] = ByteAlphabet.CharOf(bytes[i]);
    }
}
