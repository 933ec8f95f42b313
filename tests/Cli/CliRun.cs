using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>What one run of the command line came back with.</summary>
internal sealed record CliResult(int ExitCode, string Out, string Error)
{
    /// <summary>Asserts that it did its work.</summary>
    public CliResult Done()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Error}");
        return this;
    }

    /// <summary>Asserts that it did its work, and reads what it printed with --json.</summary>
    public JsonObject Json() => JsonNode.Parse(Done().Out)!.AsObject();

    /// <summary>Asserts that it refused its input: exit code 2, nothing printed, one sentence that has these names, and at most where help is.</summary>
    public void Refused(params ReadOnlySpan<string> names)
    {
        Assert.True(ExitCode == 2, $"exit code {ExitCode}: {Error}");
        Assert.Equal("", Out);
        string[] lines = Error.TrimEnd('\n').Split('\n');
        if (lines[^1].StartsWith('\'') && lines[^1].EndsWith("--help' lists what there is.", StringComparison.Ordinal)) lines = lines[..^1];
        Assert.True(lines.Length == 1, Error);
        Sentence.Assert(lines[0], names);
    }
}

/// <summary>Starts the command line as a user does: another process, its output piped.</summary>
internal sealed partial class CliRun : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private readonly Process _process;
    private readonly Task<string> _out, _error;

    private CliRun(Process process)
    {
        _process = process;
        _out = process.StandardOutput.ReadToEndAsync();
        _error = process.StandardError.ReadToEndAsync();
    }

    public bool HasEnded => _process.HasExited;

    /// <summary>Starts it; the terminal's variables say that colours are welcome, so that only the pipe keeps them out.</summary>
    public static CliRun Start(string workingDirectory, params IEnumerable<string> args) =>
        Start(workingDirectory, [], args);

    /// <summary>Starts it with some variables of the environment set.</summary>
    public static CliRun Start(string workingDirectory, Dictionary<string, string> environment, IEnumerable<string> args) =>
        Start(workingDirectory, "dotnet", [Path.Combine(AppContext.BaseDirectory, "qsharp.dll"), .. args], environment);

    private static CliRun Start(string workingDirectory, string program, IEnumerable<string> args, Dictionary<string, string> environment)
    {
        ProcessStartInfo start = new(program, args)
        {
            WorkingDirectory = workingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TERM"] = "xterm-256color";
        start.Environment.Remove("NO_COLOR");
        start.Environment.Remove("QSHARP_TRACE");
        foreach ((string name, string value) in environment) start.Environment[name] = value;
        return new CliRun(Process.Start(start)!);
    }

    /// <summary>Runs it to its end.</summary>
    public static async Task<CliResult> Run(string workingDirectory, params IEnumerable<string> args)
    {
        using CliRun run = Start(workingDirectory, args);
        return await run.End();
    }

    /// <summary>Runs another program that starts it.</summary>
    public static async Task<CliResult> Other(string program, params IEnumerable<string> args)
    {
        using CliRun run = Start(Path.GetTempPath(), program, args, []);
        return await run.End();
    }

    /// <summary>What Ctrl-C sends.</summary>
    public void Interrupt() => Kill(_process.Id, 2);

    public async Task<CliResult> End()
    {
        using CancellationTokenSource limit = new(Limit);
        await _process.WaitForExitAsync(limit.Token);
        return new CliResult(_process.ExitCode, await _out, await _error);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
