using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>π_ref and a guide led along texts that are given rather than drawn: first the prompts, then a token a row at a time.</summary>
internal sealed class TextWalk : IDisposable
{
    private readonly PromptSlots _slots;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _source;
    private readonly int[] _hostSource, _lengths;
    private int _count;
    private bool _isAtPrompts;

    /// <param name="shape">Prompts and new tokens are those of the texts.</param>
    /// <param name="candidates">K: tokens that <see cref="GuideState.ScoreNext"/> is asked about at once.</param>
    public TextWalk(LanguageModel reference, IGuide guide, SamplerShape shape, int candidates)
    {
        int rows = shape.Rows;
        try
        {
            Reference = new CachedModel(reference, rows, prompts: rows, shape.PromptTokens, shape.NewTokens, step: 1, guide.ReferenceLayer);
            Guide = guide.Open(Reference, shape, candidates);
            (_source, _memory) = Arena.Build(reference.Ops.Device, arena => arena.Take(rows, DType.I32));
        }
        catch
        {
            Dispose();
            throw;
        }
        _slots = new PromptSlots(rows, rows, shape.PromptTokens);
        (_hostSource, _lengths) = (new int[rows], new int[rows]);
    }

    public CachedModel Reference { get; }

    public GuideState Guide { get; }

    /// <summary>Forgets all texts: the models may have changed since.</summary>
    public void Clear()
    {
        _slots.Reset(keepsPrompts: false);   // idle rows are left at the first prompt, which is there
        _count = 0;
    }

    /// <summary>Gives the next row its prompt.</summary>
    public void Add(ReadOnlySpan<int> prompt) => _slots.Take(_count++, prompt);

    /// <summary>Reads the prompts.</summary>
    public void Start()
    {
        for (int row = 0; row < _hostSource.Length; row++) _hostSource[row] = _hostSource.Length + _slots.Of[row];
        _isAtPrompts = true;
        UploadSource();
        Reference.Start(_slots, _lengths, CacheLayout.Sequence, _source);
        Guide.Start(_slots, _lengths, _source);
    }

    /// <summary>Takes a token of every running row into both caches.</summary>
    /// <inheritdoc cref="DrawnTokens"/>
    public void Take(Tensor next, Tensor chosen, Tensor running, Tensor outside)
    {
        if (_isAtPrompts)
        {
            for (int row = 0; row < _hostSource.Length; row++) _hostSource[row] = row;
            _isAtPrompts = false;
            UploadSource();
        }
        Reference.Append(next, running);
        Reference.Select(_source);
        Guide.Take(new DrawnTokens(next, chosen, running, outside, _source));
    }

    public void Dispose()
    {
        Guide?.Dispose();   // null after a constructor that failed
        Reference?.Dispose();
        _memory?.Dispose();
    }

    private void UploadSource() => _source.Buffer!.Device.Upload<int>(_hostSource, _source);
}
