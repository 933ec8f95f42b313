namespace QSharp.Model;

/// <summary>What is done to a text before it is cut into pieces.</summary>
/// <param name="Apply">Linear in the length of the text.</param>
/// <param name="Meaning">What it does, in words that do not depend on how a document spells it.</param>
internal sealed record Normalizer(Func<string, string> Apply, string Meaning)
{
    private static readonly Normalizer None = new(text => text, "");

    public static Normalizer Read(Component? component)
    {
        if (component is null) return None;
        Normalizer normalizer = component.Type switch
        {
            "NFC" => new(UnicodeNormalizer.Compose, "NFC;"),
            "NFD" => new(UnicodeNormalizer.Decompose, "NFD;"),
            "Prepend" => Prepend(component.Text("prepend")),
            "Replace" => Replace(component, Pattern(component), component.Text("content")),
            "Sequence" => component.List("normalizers").Select(Read).Aggregate(None, (first, second) => first.Then(second)),
            _ => throw component.Unknown("NFC, NFD, Prepend, Replace and Sequence"),
        };
        component.End();
        return normalizer;
    }

    /// <summary>The text that a Replace looks for.</summary>
    public static string Pattern(Component component)
    {
        Component pattern = component.Inner("pattern");
        if (pattern.Only() != "String") throw component.Unsupported($"a pattern of the kind '{pattern.Only()}'");
        return pattern.Text("String");
    }

    private static Normalizer Prepend(string prefix) => new(text => text.Length == 0 ? text : prefix + text, $"Prepend {Quote(prefix)};");

    private static Normalizer Replace(Component component, string old, string content)
    {
        if (old.Length == 0) throw component.Unsupported("an empty pattern");
        return new Normalizer(text => text.Replace(old, content, StringComparison.Ordinal), $"Replace {Quote(old)} {Quote(content)};");
    }

    private Normalizer Then(Normalizer next) => new(text => next.Apply(Apply(text)), Meaning + next.Meaning);

    private static string Quote(string text) => $"{text.Length}:{text}";
}
