using QSharp.Engine;

namespace QSharp.Model;

/// <summary>The most that a sampler can hold.</summary>
/// <param name="Rows">Responses drawn side by side.</param>
/// <param name="PromptTokens">Tokens of a prompt.</param>
/// <param name="NewTokens">Tokens of a response.</param>
/// <param name="Candidates">K: tokens that the guide scores at each step, or <see cref="GuideRecipe.AllCandidates"/>; not read without a guide.</param>
/// <param name="RowTokens">Tokens of a prompt and its response together, where that is less than the sum of both; else 0.</param>
/// <param name="Vocabulary">Ids that may be drawn, the first ones of the reference's: those beyond the tokenizer never are. 0: all.</param>
/// <param name="Prompts">Prompts that are kept at once, where that is more than one a row; else 0.</param>
/// <param name="HiddenLayer">Of π_ref's hidden states where those are wanted, 1 the first; 0: the last one's, after the final norm.</param>
public sealed record SamplerShape(
    int Rows, int PromptTokens, int NewTokens, int Candidates = 1, int RowTokens = 0, int Vocabulary = 0, int Prompts = 0, int HiddenLayer = 0)
{
    internal int Longest => RowTokens > 0 ? RowTokens : PromptTokens + NewTokens;

    internal int PromptSlots => Math.Max(Rows, Prompts);

    /// <summary>Ids that may be drawn from a reference.</summary>
    internal int VocabularyOf(LanguageModel reference) => Vocabulary > 0 ? Vocabulary : reference.Config.Vocab;

    /// <exception cref="UserException">A text is longer than a model reads, or a token is none of the guide's.</exception>
    internal void Require(LanguageModel reference, IGuide? guide)
    {
        int vocabulary = VocabularyOf(reference);
        if (guide is not null && guide.Vocabulary < vocabulary)
            throw new UserException($"The guide knows {guide.Vocabulary} tokens, but the reference uses {vocabulary}; give a guide with the reference's tokenizer.");
        RequireContext(reference.Config.Position == Position.Learned ? reference.Config.Context : int.MaxValue, "the reference");
        if (guide is not null) RequireContext(guide.LongestText, "the guide");
    }

    private void RequireContext(int context, string name)
    {
        if (Longest > context)
            throw new UserException($"Prompt and response take {Longest} tokens, but {name} has a context of {context}; ask for fewer tokens.");
    }
}
