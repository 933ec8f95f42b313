namespace QSharp.Model;

/// <summary>The special tokens that a tokenizer puts around a text, such as a first BOS.</summary>
/// <param name="Before">Ids in front of the text's.</param>
/// <param name="After">Ids behind them.</param>
internal sealed record PostProcessor(int[] Before, int[] After)
{
    private static readonly PostProcessor None = new([], []);

    public static PostProcessor Read(Component? component)
    {
        if (component is null) return None;
        PostProcessor processor = component.Type switch
        {
            "ByteLevel" => ByteLevel(component),
            "TemplateProcessing" => Template(component),
            "Sequence" => component.List("processors").Select(Read)
                .Aggregate(None, (inner, outer) => new PostProcessor([.. outer.Before, .. inner.Before], [.. inner.After, .. outer.After])),
            _ => throw component.Unknown("ByteLevel, TemplateProcessing and Sequence"),
        };
        component.End("trim_offsets", "pair");   // offsets are not given here, and texts come one at a time
        return processor;
    }

    /// <summary>It only changes offsets.</summary>
    private static PostProcessor ByteLevel(Component component)
    {
        component.Flag("add_prefix_space", true);
        component.Flag("use_regex", true);
        return None;
    }

    private static PostProcessor Template(Component component)
    {
        Component special = component.Inner("special_tokens");
        List<int> before = [], after = [];
        int texts = 0;
        foreach (Component item in component.List("single"))
        {
            string kind = item.Only();
            Component inner = item.Inner(kind);
            if (kind == "Sequence" && inner.Text("id") == "A") texts++;
            else if (kind == "SpecialToken") (texts == 0 ? before : after).AddRange(special.Inner(inner.Text("id")).Numbers("ids"));
            else throw item.Unsupported($"{kind} {inner.Text("id")} in a template");
        }
        return texts == 1 ? new PostProcessor([.. before], [.. after]) : throw component.Wrong($"'single' holds the text {texts} times");
    }
}
