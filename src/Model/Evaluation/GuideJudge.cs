namespace QSharp.Model;

/// <summary>
/// A guide as a reward model of finished responses (method notes §2.8): E[Z(x, y)] at the last token, whoever wrote the response.
/// All tokens before it go through at once, unless the guide reads prompts in both directions: then a response must not pass for a
/// part of the prompt, and is read token by token.
/// </summary>
public sealed class GuideJudge : IDisposable
{
    private readonly ValueSettings _settings;
    private readonly GuideReader _reader;

    /// <param name="rows">Responses judged side by side.</param>
    /// <param name="tokens">The longest prompt and response together.</param>
    public GuideJudge(LanguageModel reference, IGuide guide, int rows, int tokens)
    {
        _settings = guide.Settings;
        _reader = new GuideReader(reference, guide, rows, tokens, newTokens: _settings.BidirectionalPrompt ? tokens : 1);
    }

    /// <summary>The score of each response, no more than there are rows.</summary>
    /// <param name="texts">Prompts and responses.</param>
    public double[] Score(IReadOnlyList<(int[] Prompt, int[] Response)> texts)
    {
        double[] scores = new double[texts.Count];
        // What is read at a later token takes the place of what was read before.
        _reader.Read([.. texts.Select(Split)], (row, _, logits) => scores[row] = _settings.Family.Mean(logits));
        return scores;
    }

    public void Dispose() => _reader.Dispose();

    private (int[] Tokens, int PromptLength) Split((int[] Prompt, int[] Response) text)
    {
        int[] tokens = [.. text.Prompt, .. text.Response];
        return (tokens, _settings.BidirectionalPrompt ? text.Prompt.Length : tokens.Length - 1);
    }
}
