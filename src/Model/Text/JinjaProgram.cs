using System.Globalization;
using System.Text;

using Acornima.Ast;

using Jint;
using Jint.Native;
using Jint.Runtime;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A Jinja program, run by the JavaScript library @huggingface/jinja inside the interpreter Jint. A program that a stranger wrote gets
/// neither files nor the network, and limited time, memory and depth.
/// </summary>
internal sealed class JinjaProgram
{
    private const int MaxDepth = 1500, StackBytes = 64 << 20;
    private const long MaxBytes = 2L << 30;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);
    private static readonly Lazy<Prepared<Script>[]> Scripts = new(() =>
    [
        // The library speaks to a module loader, which here is this one line.
        Prepare("var module = { exports: {} };\n" + Resource.Text("huggingface-jinja-0.5.11.js")),
        Prepare(Resource.Text("chat-template.js")),
    ]);

    private readonly string _source;
    private readonly Jint.Engine _engine;

    /// <exception cref="UserException">It is no Jinja program.</exception>
    public JinjaProgram(string program, string source, TimeProvider clock)
    {
        _source = source;
        _engine = new Jint.Engine(options => options
            .TimeoutInterval(Limit).LimitMemory(MaxBytes).LimitRecursion(MaxDepth).RegexTimeoutInterval(Limit));
        _engine.SetValue("formatNow", (string format) => Strftime(format, clock.GetLocalNow().DateTime));
        Call("compileTemplate", program);
    }

    /// <param name="variables">A JSON object of what the program can see.</param>
    public string Render(string variables)
    {
        lock (_engine) return Call("renderTemplate", variables);
    }

    private static Prepared<Script> Prepare(string code) => Jint.Engine.PrepareScript(code, options: new ScriptPreparationOptions
    {
        FoldConstants = false,
        ParsingOptions = new ScriptParsingOptions { CompileRegex = false },
    });

    /// <summary>Calls a function of chat-template.js on a thread with room for the deepest program that the limits let through.</summary>
    private string Call(string function, string argument)
    {
        string result = "", kind = "";
        Exception? failure = null;
        Thread thread = new(() =>
        {
            try
            {
                if (_engine.GetValue(function).IsUndefined())
                    foreach (Prepared<Script> script in Scripts.Value) _engine.Execute(script);
                JsArray answer = (JsArray)_engine.Invoke(function, argument);
                (kind, result) = (answer[0].AsString(), answer[1].AsString());
            }
            catch (Exception error)
            {
                failure = error;
            }
        }, StackBytes);
        thread.Start();
        thread.Join();
        if (failure is not null) throw Failed(failure);
        return kind switch
        {
            "text" => result,
            "raised" => throw new UserException($"{_source}: the chat template refuses these messages: {Sentence(result)}."),
            "unsupported" => throw new UserException($"{_source}: the chat template uses {result}, which is not supported here; use another template."),
            "syntax" => throw new UserException($"{_source}: the chat template cannot be read ({Sentence(result)}); it is damaged, or uses what is not supported here, so take it again from where the model came from, or use another one."),
            _ => throw new UserException($"{_source}: the chat template fails on these messages ({Sentence(result)}); check their roles, or the template."),
        };
    }

    private Exception Failed(Exception failure)
    {
        if (failure is UserException) return failure;
        string? limit = failure switch
        {
            TimeoutException => $"did not end within {Limit.TotalSeconds} s",
            MemoryLimitExceededException or OutOfMemoryException => "takes too much memory",
            RecursionDepthOverflowException or InsufficientExecutionStackException => "calls itself too deep",
            _ => null,
        };
        return limit is null
            ? new InvalidOperationException($"{_source}: the chat template broke the interpreter.", failure)
            : new UserException($"{_source}: the chat template {limit} on these messages; use another template.", failure);
    }

    /// <summary>A message as part of a sentence: on one line and without its full stop.</summary>
    private static string Sentence(string message) =>
        string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.', '!');

    /// <summary>Python's strftime, without the machine's language; "%-d" leaves the leading zero out.</summary>
    private static string Strftime(string format, DateTime now)
    {
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            bool bare = format[++i] == '-' && i + 1 < format.Length;
            if (bare) i++;
            string part = Part(format[i], now);
            text.Append(bare ? part.TrimStart('0').PadLeft(1, '0') : part);
        }
        return text.ToString();
    }

    private static string Part(char code, DateTime now)
    {
        string? pattern = code switch
        {
            'd' => "dd",
            'm' => "MM",
            'Y' => "yyyy",
            'y' => "yy",
            'b' or 'h' => "MMM",
            'B' => "MMMM",
            'a' => "ddd",
            'A' => "dddd",
            'H' => "HH",
            'I' => "hh",
            'M' => "mm",
            'S' => "ss",
            'p' => "tt",
            'F' => "yyyy-MM-dd",
            'T' => "HH:mm:ss",
            _ => null,
        };
        return code switch
        {
            '%' => "%",
            'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
            'j' => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
            _ => pattern is null ? throw new UserException($"The chat template asks for the date as %{code}, which is not known here; use another template.")
                : now.ToString(pattern, CultureInfo.InvariantCulture),
        };
    }
}
