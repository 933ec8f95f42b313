namespace QSharp.Model;

/// <summary>Where long work says how far it is. Reports are cheap: an implementation shows only some of them.</summary>
public interface IProgressSink
{
    /// <summary>A phase begins.</summary>
    /// <param name="total">Steps of the phase.</param>
    void Start(string phase, long total);

    /// <param name="step">Steps done.</param>
    /// <param name="figures">What to show beside it.</param>
    void Report(long step, ReadOnlySpan<(string Name, double Value)> figures);

    /// <summary>The phase is done.</summary>
    void Finish(string summary);

    /// <summary>Something to know, outside of any phase's figures.</summary>
    void Note(string text);
}

/// <summary>Says nothing.</summary>
public sealed class SilentProgress : IProgressSink
{
    public void Start(string phase, long total) { }

    public void Report(long step, ReadOnlySpan<(string Name, double Value)> figures) { }

    public void Finish(string summary) { }

    public void Note(string text) { }
}
