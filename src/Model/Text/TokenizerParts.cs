using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>Puts a tokenizer together from the small parts of its document and from its model.</summary>
internal static class TokenizerParts
{
    public static Tokenizer Build(JsonObject document, BpeModel model, string source)
    {
        Component all = new(document, "the document", source);
        AddedToken[] added = all.Has("added_tokens") ? [.. all.List("added_tokens").Select(Added)] : [];
        string?[] tokens = Tokens(model, added, source);
        Normalizer normalizer = Normalizer.Read(Component.At(document, "normalizer", source));
        Tokenizer tokenizer = new(
            model, tokens, added, normalizer,
            PreTokenizer.Read(Component.At(document, "pre_tokenizer", source)),
            PostProcessor.Read(Component.At(document, "post_processor", source)),
            DecodingStep.Read(Component.At(document, "decoder", source), source));
        // How much of a text to take and what to fill a batch with are the caller's business.
        all.End("version", "truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder");
        return tokenizer;
    }

    private static AddedToken Added(Component component)
    {
        int id = component.Number("id", -1);
        if (id is < 0 or >= TokenizerJson.MaxTokens) throw component.Wrong($"'id' is not a whole number from 0 to {TokenizerJson.MaxTokens - 1}");
        bool special = component.Flag("special", false);
        AddedToken token = new(
            id, component.Text("content"), component.Flag("single_word", false), component.Flag("lstrip", false),
            component.Flag("rstrip", false), component.Flag("normalized", !special), special);
        component.End();
        return token;
    }

    /// <summary>The text of each id; null where there is none.</summary>
    private static string?[] Tokens(BpeModel model, AddedToken[] added, string source)
    {
        int count = model.Vocabulary.Values.Concat(added.Select(token => token.Id)).DefaultIfEmpty(-1).Max() + 1;
        string?[] tokens = new string?[count];
        foreach ((string token, int id) in model.Vocabulary) Place(token, id);
        foreach (AddedToken token in added)
        {
            if (model.Vocabulary.TryGetValue(token.Content, out int id) && id != token.Id)
                throw Component.Damaged(source, $"the added token '{token.Content}' has the id {token.Id}, but {id} in the vocabulary");
            Place(token.Content, token.Id);
        }
        return tokens;

        void Place(string token, int id)
        {
            if (tokens[id] is { } other && other != token) throw Component.Damaged(source, $"the tokens '{other}' and '{token}' have the same id {id}");
            tokens[id] = token;
        }
    }
}
