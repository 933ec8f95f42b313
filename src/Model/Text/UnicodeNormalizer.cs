using System.Globalization;
using System.Text;

namespace QSharp.Model;

/// <summary>
/// Unicode's canonical normal forms NFC and NFD. The base library leaves text as it is where globalization is invariant, and where it
/// is not it needs the ICU library of the machine; these depend on neither.
/// </summary>
internal static class UnicodeNormalizer
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    /// <summary>No character below this one combines or is composed by a character below it.</summary>
    private const char FirstCombining = '\u0300';

    private static readonly Lazy<Tables> Data = new(Tables.Read);

    /// <summary>Composed, as most text is written.</summary>
    public static string Compose(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange(FirstCombining, char.MaxValue)) return text;
        List<int> codes = Decomposed(text);
        int starter = -1, length = 0, before = -1;
        for (int i = 0; i < codes.Count; i++)
        {
            int code = codes[i];
            int combining = Data.Value.Class(code);
            // A mark composes with the last starter unless one between them has its class or a higher one.
            if (starter >= 0 && (length == starter + 1 || before < combining) && Pair(codes[starter], code) is int composed)
            {
                codes[starter] = composed;
                continue;
            }
            if (combining == 0) starter = length;
            before = combining;
            codes[length++] = code;
        }
        codes.RemoveRange(length, codes.Count - length);
        return Text(codes);
    }

    /// <summary>Decomposed: each mark is a character of its own.</summary>
    public static string Decompose(string text) => Ascii.IsValid(text) ? text : Text(Decomposed(text));

    private static List<int> Decomposed(string text)
    {
        List<int> codes = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) Decompose(rune.Value, codes);
        Order(codes);
        return codes;
    }

    private static void Decompose(int code, List<int> codes)
    {
        int syllable = code - HangulBase;
        if (syllable is >= 0 and < Leads * Vowels * Tails)
        {
            codes.Add(LeadBase + syllable / (Vowels * Tails));
            codes.Add(VowelBase + syllable / Tails % Vowels);
            if (syllable % Tails != 0) codes.Add(TailBase + syllable % Tails);
        }
        else if (Data.Value.Decompositions.TryGetValue(code, out (int First, int Second) parts))
        {
            Decompose(parts.First, codes);
            if (parts.Second != 0) Decompose(parts.Second, codes);
        }
        else codes.Add(code);
    }

    /// <summary>Sorts each run of marks by class; marks of one class keep their order.</summary>
    private static void Order(List<int> codes)
    {
        for (int start = 0; start < codes.Count; start++)
        {
            if (Data.Value.Class(codes[start]) == 0) continue;
            int end = start + 1;
            while (end < codes.Count && Data.Value.Class(codes[end]) != 0) end++;
            if (end - start > 1)
            {
                int[] sorted = [.. codes[start..end].OrderBy(Data.Value.Class)];   // a stable sort
                for (int i = 0; i < sorted.Length; i++) codes[start + i] = sorted[i];
            }
            start = end;
        }
    }

    private static int? Pair(int first, int second)
    {
        int lead = first - LeadBase, vowel = second - VowelBase;
        if (lead is >= 0 and < Leads && vowel is >= 0 and < Vowels) return HangulBase + (lead * Vowels + vowel) * Tails;
        int syllable = first - HangulBase, tail = second - TailBase;
        if (syllable is >= 0 and < Leads * Vowels * Tails && syllable % Tails == 0 && tail is > 0 and < Tails) return first + tail;
        return Data.Value.Compositions.TryGetValue((first, second), out int composed) ? composed : null;
    }

    private static string Text(List<int> codes)
    {
        StringBuilder text = new(codes.Count);
        Span<char> buffer = stackalloc char[2];
        foreach (int code in codes) text.Append(buffer[..new Rune(code).EncodeToUtf16(buffer)]);
        return text.ToString();
    }

    private sealed class Tables
    {
        private readonly Dictionary<int, byte> _classes = [];

        /// <summary>A character's parts; the second is 0 where there is one.</summary>
        public Dictionary<int, (int First, int Second)> Decompositions { get; } = [];

        public Dictionary<(int First, int Second), int> Compositions { get; } = [];

        public int Class(int code) => code < FirstCombining ? 0 : _classes.GetValueOrDefault(code);

        public static Tables Read()
        {
            Tables tables = new();
            foreach (string line in Resource.Text("normalization.txt").Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                if (line[0] == '#') continue;
                string[] fields = line.Split(' ');
                int code = Hex(fields[0]);
                byte combining = byte.Parse(fields[1], CultureInfo.InvariantCulture);
                if (combining != 0) tables._classes.Add(code, combining);
                if (fields.Length == 2) continue;
                (int, int) parts = (Hex(fields[2].TrimStart('!')), fields.Length > 3 ? Hex(fields[3]) : 0);
                tables.Decompositions.Add(code, parts);
                if (fields[2][0] != '!') tables.Compositions.Add(parts, code);
            }
            return tables;
        }

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
