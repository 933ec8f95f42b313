namespace QSharp.Model;

/// <summary>A response that is wanted.</summary>
/// <param name="Limit">Most tokens of it.</param>
/// <param name="Stream">Of random numbers: the sample's own, so that batching changes nothing.</param>
/// <param name="Number">By which its asker knows it.</param>
public readonly record struct SampleRequest(int[] Prompt, int Limit, int Stream, long Number)
{
    /// <summary>Log-weights of the returns for a weighted tilt; else null.</summary>
    public float[]? Weights { get; init; }
}

/// <summary>
/// Requests that wait for a row: taken from their source a window at a time, and given out by the length of the prompt, so that
/// those read together need little padding. Samples of one prompt stay neighbours.
/// </summary>
internal sealed class SampleQueue(IEnumerator<SampleRequest> source, int window)
{
    private readonly List<SampleRequest> _waiting = [];
    private int _next;

    /// <summary>Takes the next request; false when there is none left.</summary>
    public bool TryTake(out SampleRequest request)
    {
        if (_next == _waiting.Count) Fill();
        request = _next < _waiting.Count ? _waiting[_next++] : default;
        return request.Prompt is not null;
    }

    private void Fill()
    {
        List<SampleRequest> requests = [];
        while (requests.Count < window && source.MoveNext()) requests.Add(source.Current);
        _waiting.Clear();
        _waiting.AddRange(requests.OrderBy(request => request.Prompt.Length));
        _next = 0;
    }
}

/// <summary>Puts what comes in any order back into the order of its numbers.</summary>
/// <param name="first">The number that is next.</param>
internal sealed class InOrder<T>(long first)
{
    private readonly Dictionary<long, T> _waiting = [];
    private long _next = first;

    public void Add(long number, T item) => _waiting.Add(number, item);

    public bool TryTake(out T? item)
    {
        if (!_waiting.Remove(_next, out item)) return false;
        _next++;
        return true;
    }
}
