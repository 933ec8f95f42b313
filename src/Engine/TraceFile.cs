using System.Globalization;
using System.Text;
using System.Text.Json;

namespace QSharp.Engine;

/// <summary>A trace for ui.perfetto.dev or chrome://tracing. The file appears under its name when it is complete.</summary>
internal sealed class TraceFile
{
    private const int HostTrack = 1, CardTrack = 2;

    private readonly string _path;
    private readonly StreamWriter _writer;
    private bool _isFirst = true;

    /// <param name="card">The card's name; null where the ops are the host's alone.</param>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public TraceFile(string path, string? card)
    {
        _path = path;
        try
        {
            _writer = new StreamWriter(path + ".partial", append: false, new UTF8Encoding(false));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"--trace {path}: the file cannot be written ({error.Message.TrimEnd('.')}).", error);
        }
        _writer.Write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
        Name(HostTrack, "host");
        if (card is not null) Name(CardTrack, card);
    }

    public void Write(TracedOp op)
    {
        Separate();
        _writer.Write(string.Create(CultureInfo.InvariantCulture,
            $"{{\"name\":\"{op.Name}\",\"cat\":\"op\",\"ph\":\"X\",\"pid\":1,\"tid\":{(op.IsOnCard ? CardTrack : HostTrack)},\"ts\":{op.Start:0.###},\"dur\":{op.Duration:0.###},\"args\":{{\"tensors\":\"{op.Tensors}\"}}}}"));
    }

    public void Complete()
    {
        _writer.Write("\n]}\n");
        _writer.Dispose();
        File.Move(_path + ".partial", _path, overwrite: true);
    }

    private void Name(int track, string name)
    {
        Separate();
        _writer.Write($"{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{track},\"args\":{{\"name\":\"{JsonEncodedText.Encode(name)}\"}}}}");
    }

    private void Separate()
    {
        _writer.Write(_isFirst ? "\n" : ",\n");
        _isFirst = false;
    }
}
