using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Whether one model can read another's ids. Their tokens and special ids decide, not the numbers of their logits, which models of one
/// family pad differently (method notes §3.8).
/// </summary>
internal static class TokenizerMatch
{
    /// <summary>Refuses a tokenizer in which an id means something else. Special tokens that one of the two keeps in reserve may bear other names: a family's later models use some of them.</summary>
    /// <param name="path">Of the model, for the message.</param>
    /// <param name="referencePath">Of the model whose ids are read.</param>
    /// <exception cref="UserException">They differ.</exception>
    public static void Require(Tokenizer tokenizer, string path, Tokenizer reference, string referencePath)
    {
        for (int id = 0; id < Math.Max(tokenizer.Count, reference.Count); id++)
            if (!AreSame(tokenizer, reference, id))
                throw new UserException($"{path}: this model's tokenizer is not that of {referencePath} (they differ in token {id}); a guide reads its reference's tokens, so give a model with the same tokenizer.");
    }

    private static bool AreSame(Tokenizer a, Tokenizer b, int id)
    {
        if (a.IsSpecial(id) != b.IsSpecial(id)) return false;
        return a.Token(id) == b.Token(id) || (a.IsSpecial(id) && (IsReserved(a.Token(id)) || IsReserved(b.Token(id))));
    }

    private static bool IsReserved(string? token) => token?.Contains("reserved", StringComparison.Ordinal) ?? false;
}
