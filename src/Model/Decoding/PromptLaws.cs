using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Reads Z at prompts (method notes §7.2): the guide's own value at the prompt's last token where it was trained there
/// (<see cref="ValueSettings.HasPromptValue"/>), else the π_ref-mean of its laws after each of the K likeliest first tokens, π_ref as
/// temperature and top-p shape it.
/// </summary>
public sealed class PromptLaws : IDisposable
{
    // First tokens that are read where a policy draws from the whole vocabulary.
    private const int OfAll = 64;

    private readonly LanguageModel _reference;
    private readonly ReturnFamily _family;
    private readonly bool _hasPromptValue;
    private readonly TextWalk _walk;
    private readonly DeviceBuffer _memory;
    private readonly NextTokens _next;
    private readonly Tensor _values;
    private readonly float[] _hostValues;
    private readonly double[] _shares;
    private readonly int _rows;

    /// <param name="rows">Prompts read side by side.</param>
    /// <param name="promptTokens">The longest prompt.</param>
    /// <param name="candidates">K, or <see cref="GuideRecipe.AllCandidates"/>, for which the 64 likeliest stand.</param>
    /// <param name="vocabulary">Ids in use; 0: all of the reference's.</param>
    public PromptLaws(LanguageModel reference, IGuide guide, int rows, int promptTokens, int candidates, int vocabulary)
    {
        (_reference, _rows) = (reference, rows);
        (_family, _hasPromptValue) = (guide.Settings.Family, guide.Settings.HasPromptValue);
        if (vocabulary == 0) vocabulary = reference.Config.Vocab;
        int k = _hasPromptValue ? 1 : Math.Min(candidates == GuideRecipe.AllCandidates ? OfAll : candidates, vocabulary);
        _walk = new TextWalk(reference, guide, new SamplerShape(rows, promptTokens, 1, k, Vocabulary: vocabulary), k);
        try
        {
            ((_next, _values), _memory) = Arena.Build(
                reference.Ops.Device, arena => (new NextTokens(reference, rows, vocabulary, k, arena), arena.Take((rows, k, _family.Atoms))));
        }
        catch
        {
            _walk.Dispose();
            throw;
        }
        (_hostValues, _shares) = (new float[_values.Count], new double[k]);
    }

    /// <summary>The law at each prompt.</summary>
    /// <param name="rule">Of which temperature and top-p are read.</param>
    public List<ReturnLaw> Read(IReadOnlyList<int[]> prompts, GuidanceRule rule, CancellationToken stop)
    {
        List<ReturnLaw> laws = [];
        foreach (int[][] part in prompts.Chunk(_rows))
        {
            stop.ThrowIfCancellationRequested();
            ReadPart(part, rule);
            laws.AddRange(Enumerable.Range(0, part.Length).Select(LawOf));
        }
        return laws;
    }

    public void Dispose()
    {
        _walk.Dispose();
        _memory.Dispose();
    }

    private void ReadPart(int[][] prompts, GuidanceRule rule)
    {
        _walk.Clear();
        foreach (int[] prompt in prompts) _walk.Add(prompt);
        _walk.Start();
        if (_hasPromptValue)
        {
            _walk.Guide.ScorePrompts(_values.As((_rows, _family.Atoms)));
        }
        else
        {
            _next.Read(_walk.Reference.Hidden, rule.Temperature == 0 ? 1 : rule.Temperature, rule.TopP);
            _walk.Guide.ScoreNext(_next.Candidates, _values);
        }
        _reference.Ops.Device.Download<float>(_values, _hostValues);
    }

    private ReturnLaw LawOf(int row)
    {
        int k = _shares.Length, atoms = _family.Atoms;
        double[] law = new double[_family.Returns];
        if (_hasPromptValue) _shares[0] = 1;
        else _next.Shares(row, _shares);
        for (int i = 0; i < k; i++)
            if (_shares[i] > 0) _family.AddLaw(_hostValues.AsSpan((row * k + i) * atoms, atoms), _shares[i], law);
        return ReturnLaw.Of(_family, law);
    }
}
