using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace QSharp.Model;

/// <summary>
/// A step from the vocabulary's texts of tokens to plain text. It is fed token by token and gives what is then certain, so that the
/// same steps serve a whole list of ids and a stream of them.
/// </summary>
internal abstract class DecodingStep
{
    /// <summary>Takes one token and adds what it settles.</summary>
    public abstract void Push(string token, List<string> output);

    /// <summary>There are no more tokens.</summary>
    public virtual void Finish(List<string> output) { }

    /// <summary>Makes the steps of a decoder, in order; each call gives fresh ones.</summary>
    public static Func<DecodingStep[]> Read(Component? component, string source)
    {
        if (component is null) throw Component.Damaged(source, "there is no 'decoder', so ids cannot be turned into text");
        bool fused = false;
        List<Func<DecodingStep>> makers = [];
        Read(component, makers, ref fused);
        return () => [.. makers.Select(make => make())];
    }

    /// <param name="fused">Whether the tokens have been joined into one text before this component.</param>
    private static void Read(Component component, List<Func<DecodingStep>> makers, ref bool fused)
    {
        bool afterFuse = fused;
        switch (component.Type)
        {
            case "Sequence":
                foreach (Component inner in component.List("decoders")) Read(inner, makers, ref fused);
                break;
            case "Fuse":
                fused = true;   // the steps after it know; nothing is done here
                break;
            case "Replace":
                (string old, string content) = (Normalizer.Pattern(component), component.Text("content"));
                // Across the border of two tokens only a single character is found for certain.
                if (old.Length == 0 || (afterFuse && old.Length > 1)) throw component.Unsupported($"a pattern of {old.Length} characters at this place");
                makers.Add(() => new ReplaceStep(old, content));
                break;
            case "Strip":
                (string stripped, int count) = (component.Text("content"), component.Number("start", 0));
                if (stripped.Length == 0) throw component.Wrong("'content' is empty");
                if (component.Number("stop", 0) != 0) throw component.Unsupported("the option 'stop'");
                makers.Add(() => new StripStep(stripped, count, afterFuse));
                break;
            case "ByteLevel" when !afterFuse:
                component.Flag("use_regex", true);
                component.Flag("add_prefix_space", true);   // neither has an effect on decoding
                fused = true;
                makers.Add(() => new ByteLevelStep());
                break;
            case "ByteFallback" when !afterFuse:
                makers.Add(() => new ByteFallbackStep());
                break;
            case "Metaspace" when !afterFuse:
                string mark = component.Text("replacement");
                bool always = component.Flag("add_prefix_space", true);
                bool strips = (component.TextOrNull("prepend_scheme") ?? (always ? "always" : "never")) != "never";
                component.Flag("split", true);
                component.TextOrNull("str_rep");
                makers.Add(() => new MetaspaceStep(mark, strips));
                break;
            default:
                if (afterFuse) throw component.Unsupported($"{component.Type} after the tokens are joined");
                throw component.Unknown("ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip and Sequence");
        }
        component.End("trim_offsets");
    }
}

/// <summary>Tokens in the <see cref="ByteAlphabet"/>: a character may lie across several, and what is no UTF-8 becomes U+FFFD.</summary>
internal sealed class ByteLevelStep : DecodingStep
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    public override void Push(string token, List<string> output)
    {
        // A token with a character outside the alphabet, such as an added one, stands for itself.
        byte[] bytes = token.All(character => ByteAlphabet.ByteOf(character) >= 0)
            ? [.. token.Select(character => (byte)ByteAlphabet.ByteOf(character))]
            : Encoding.UTF8.GetBytes(token);
        Give(bytes, flush: false, output);
    }

    public override void Finish(List<string> output) => Give([], flush: true, output);

    private void Give(byte[] bytes, bool flush, List<string> output)
    {
        char[] characters = new char[_decoder.GetCharCount(bytes, flush)];
        _decoder.GetChars(bytes, characters, flush);
        if (characters.Length > 0) output.Add(new string(characters));
    }
}

/// <summary>
/// Tokens such as &lt;0xE4&gt; are bytes. Neighbours are taken together: as the text that they spell in UTF-8, or, if they do not,
/// one U+FFFD for each; so nothing of them is certain before another token comes.
/// </summary>
internal sealed class ByteFallbackStep : DecodingStep
{
    private readonly List<byte> _bytes = [];

    /// <summary>The byte that a token stands for, or null.</summary>
    public static byte? ByteOf(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
        && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value) ? value : null;

    public override void Push(string token, List<string> output)
    {
        if (ByteOf(token) is byte value)
        {
            _bytes.Add(value);
            return;
        }
        Finish(output);
        output.Add(token);
    }

    public override void Finish(List<string> output)
    {
        if (_bytes.Count == 0) return;
        byte[] bytes = [.. _bytes];
        _bytes.Clear();
        if (Utf8.IsValid(bytes)) output.Add(Encoding.UTF8.GetString(bytes));
        else output.AddRange(Enumerable.Repeat("\uFFFD", bytes.Length));
    }
}

/// <summary>Puts one text for another.</summary>
internal sealed class ReplaceStep(string old, string content) : DecodingStep
{
    public override void Push(string token, List<string> output) => output.Add(token.Replace(old, content, StringComparison.Ordinal));
}

/// <summary>Drops up to so many copies of a text from the beginning: of the whole where tokens are joined, otherwise of each token.</summary>
internal sealed class StripStep(string stripped, int count, bool joined) : DecodingStep
{
    private int _done;

    public override void Push(string token, List<string> output)
    {
        if (!joined) _done = 0;
        int at = 0;
        while (_done < count && at < token.Length)
        {
            bool found = string.CompareOrdinal(token, at, stripped, 0, stripped.Length) == 0;
            _done = found ? _done + 1 : count;
            if (found) at += stripped.Length;
        }
        output.Add(token[at..]);
    }
}

/// <summary>Marks are spaces; those of the first token are dropped where one was put in front of the text.</summary>
internal sealed class MetaspaceStep(string mark, bool strips) : DecodingStep
{
    private bool _isFirst = true;

    public override void Push(string token, List<string> output)
    {
        output.Add(token.Replace(mark, _isFirst && strips ? "" : " ", StringComparison.Ordinal));
        _isFirst = false;
    }
}
