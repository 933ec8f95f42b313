using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>
/// <c>metrics.jsonl</c>, one object a step (<c>{"phase":"guide","step":12,"loss":0.61}</c>), and the same figures as
/// TensorBoard events. A phase that resumes drops the lines past its checkpoint first.
/// </summary>
public sealed class MetricsLog : IDisposable
{
    private readonly string _path;
    private readonly TensorBoardWriter _board;
    private StreamWriter _writer;

    public MetricsLog(RunFolder folder)
    {
        _path = folder.MetricsPath;
        _writer = Open(_path);
        _board = new TensorBoardWriter(folder.Path);
    }

    /// <param name="figures">What else there is to say of the step.</param>
    public void Write(string phase, int step, double loss, params IReadOnlyList<(string Name, double Value)> figures)
    {
        JsonObject line = new() { ["phase"] = phase, ["step"] = step, ["loss"] = double.IsFinite(loss) ? loss : null };
        foreach ((string name, double value) in figures) line[name] = value;
        try
        {
            _writer.WriteLine(line.ToJsonString());
            if (step % 50 == 0) _writer.Flush();
            _board.Write($"{phase}/loss", step, (float)loss);
            foreach ((string name, double value) in figures) _board.Write($"{phase}/{name}", step, (float)value);
        }
        catch (IOException failure)
        {
            throw AtomicFile.Unwritable(_path, failure);
        }
    }

    /// <summary>Forgets a phase's lines past a step, which resuming will write again, and a last line that was cut short.</summary>
    public void TruncateAfter(string phase, int step)
    {
        _writer.Dispose();
        IEnumerable<string> kept = File.ReadAllLines(_path).Where(line => Parse(line) is { } json && !((string?)json["phase"] == phase && (int?)json["step"] > step));
        AtomicFile.WriteText(_path, string.Concat(kept.Select(line => line + "\n")));
        _writer = Open(_path);
    }

    /// <summary>A phase's losses, or another figure, by step.</summary>
    public static (double[] Steps, double[] Values) Read(RunFolder folder, string phase, string figure = "loss")
    {
        if (!File.Exists(folder.MetricsPath)) return ([], []);
        JsonObject[] lines = [.. File.ReadAllLines(folder.MetricsPath).Select(Parse).OfType<JsonObject>()
            .Where(json => (string?)json["phase"] == phase && json[figure] is not null)];
        return ([.. lines.Select(line => (double)line["step"]!)], [.. lines.Select(line => (double)line[figure]!)]);
    }

    public void Dispose()
    {
        _writer.Dispose();
        _board.Dispose();
    }

    private static StreamWriter Open(string path)
    {
        try
        {
            return new StreamWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read), new UTF8Encoding(false));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw AtomicFile.Unwritable(path, failure);
        }
    }

    private static JsonObject? Parse(string line)
    {
        try
        {
            return JsonNode.Parse(line) as JsonObject;
        }
        catch (JsonException)
        {
            return null;   // the process ended within this line
        }
    }
}
