using System.Diagnostics;
using System.Globalization;
using System.Text;

using QSharp.Model;

namespace QSharp.Cli;

/// <summary>What the process is connected to.</summary>
internal static class Terminal
{
    /// <summary>Whether standard error is a terminal that can redraw a line.</summary>
    public static bool IsLive =>
        !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "dumb" or "") && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
}

/// <summary>
/// Phase, step, figures and time left on standard error: one line that is redrawn on a terminal, a plain line every few
/// seconds elsewhere.
/// </summary>
internal sealed class ProgressReporter(TextWriter output, bool live) : IProgressSink
{
    private static readonly TimeSpan LiveInterval = TimeSpan.FromMilliseconds(200), PlainInterval = TimeSpan.FromSeconds(5);

    private readonly Stopwatch _phaseClock = new();
    private readonly Stopwatch _sinceShown = new();
    private string _phase = "";
    private long _total, _first;
    private bool _isFirst;
    private int _width;

    public void Start(string phase, long total)
    {
        _phase = phase;
        _total = total;
        _isFirst = true;
        _phaseClock.Restart();
        _sinceShown.Restart();
    }

    public void Report(long step, ReadOnlySpan<(string Name, double Value)> figures)
    {
        if (_isFirst)
        {
            _first = step;   // a resumed phase does not begin at 0
            _isFirst = false;
        }
        if (_sinceShown.Elapsed < (live ? LiveInterval : PlainInterval)) return;
        _sinceShown.Restart();
        StringBuilder line = new();
        line.Append(CultureInfo.InvariantCulture, $"{_phase}: {step:N0}/{_total:N0}");
        foreach ((string name, double value) in figures)
        {
            if (Math.Abs(value) >= 100) line.Append(CultureInfo.InvariantCulture, $"  {name} {value:N0}");
            else line.Append(CultureInfo.InvariantCulture, $"  {name} {value:0.000}");
        }
        if (step > _first)
        {
            double left = _phaseClock.Elapsed.TotalSeconds / (step - _first) * (_total - step);
            line.Append(CultureInfo.InvariantCulture, $"  {left:0} s left");
        }
        Show(line.ToString(), end: false);
    }

    public void Finish(string summary) =>
        Show(string.Create(CultureInfo.InvariantCulture, $"{_phase}: done in {_phaseClock.Elapsed.TotalSeconds:0.0} s, {summary}"), end: true);

    public void Note(string text) => Show(text, end: true);

    private void Show(string text, bool end)
    {
        if (!live)
        {
            output.WriteLine(text);
            return;
        }
        output.Write('\r');
        output.Write(text.PadRight(_width));
        _width = end ? 0 : text.Length;
        if (end) output.WriteLine();
        output.Flush();
    }
}
