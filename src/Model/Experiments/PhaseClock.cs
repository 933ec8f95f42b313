using System.Diagnostics;
using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>Seconds that each phase took, added up over interruptions, and tokens trained.</summary>
public sealed class PhaseClock
{
    private readonly SortedDictionary<string, double> _seconds = new(StringComparer.Ordinal);
    private double _trainSeconds;
    private long _trainTokens;

    /// <summary>Reads what an earlier part of the run took.</summary>
    public PhaseClock(JsonObject? saved = null)
    {
        if (saved?["seconds"] is JsonObject seconds)
            foreach ((string phase, JsonNode? value) in seconds) _seconds[phase] = (double?)value ?? 0;
        _trainSeconds = (double?)saved?["train_seconds"] ?? 0;
        _trainTokens = (long?)saved?["train_tokens"] ?? 0;
    }

    public double TrainingTokensPerSecond => _trainSeconds > 0 ? _trainTokens / _trainSeconds : 0;

    public double Seconds(string phase) => _seconds.GetValueOrDefault(phase);

    /// <summary>Times a phase until the result is disposed.</summary>
    public Running Start(string phase) => new(this, phase);

    public void AddTokens(long tokens, double seconds)
    {
        _trainTokens += tokens;
        _trainSeconds += seconds;
    }

    public JsonObject ToJson()
    {
        JsonObject seconds = [];
        foreach ((string phase, double value) in _seconds) seconds[phase] = value;
        return new JsonObject { ["seconds"] = seconds, ["train_seconds"] = _trainSeconds, ["train_tokens"] = _trainTokens };
    }

    public sealed class Running(PhaseClock clock, string phase) : IDisposable
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();

        public void Dispose() => clock._seconds[phase] = clock._seconds.GetValueOrDefault(phase) + _watch.Elapsed.TotalSeconds;
    }
}
