using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A program of the user's that reads a response on its standard input and prints the reward, a number from 0 to 1. It runs once a
/// response, without a shell.
/// </summary>
internal sealed class RewardCommand
{
    private const float DefaultSeconds = 10, MostSeconds = 3600;
    private const int InterruptedOnUnix = 130, InterruptedOnWindows = unchecked((int)0xC000013A);

    private readonly string[] _command;
    private readonly TimeSpan _limit;
    private readonly string _source;

    private RewardCommand(string[] command, TimeSpan limit, string source)
    {
        _command = command;
        _limit = limit;
        _source = source;
    }

    /// <summary>Reads <c>"command": ["python3", "judge.py"], "timeout": 10</c> (seconds); null where there is no command.</summary>
    public static RewardCommand? Read(ConfigJson rule)
    {
        string[] command = [.. rule.Texts("command")];
        if (!rule.Has("command")) return rule.Has("timeout") ? throw new UserException($"{rule.Path}: timeout goes with a command; give both or neither.") : null;
        if (command.Length == 0 || command[0].Length == 0) throw new UserException($"{rule.Path}: command is empty; give a program, or a list of a program and its arguments.");
        float seconds = rule.Real("timeout", DefaultSeconds);
        if (seconds is not (> 0 and <= MostSeconds)) throw new UserException(FormattableString.Invariant($"{rule.Path}: timeout is {seconds}, but must be more than 0 and at most {MostSeconds} seconds."));
        return new RewardCommand(command, TimeSpan.FromSeconds(seconds), rule.Path);
    }

    /// <summary>
    /// The reward of a response. Ctrl-C in a terminal ends the program too, though the run is to save what it has, and needs this
    /// reward for that: a program that was interrupted runs once more.
    /// </summary>
    /// <exception cref="UserException">The program does not start, fails, takes too long, or prints something else.</exception>
    public float Reward(string response) => Run(response, canRepeat: true) ?? Run(response, canRepeat: false)!.Value;

    /// <returns>Null: it was interrupted, and may run again.</returns>
    private float? Run(string response, bool canRepeat)
    {
        using Process process = Start();
        try
        {
            Task<string> printed = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
            Task written = Write(process.StandardInput, response);
            using CancellationTokenSource late = new(_limit);
            Task all = Task.WhenAll(printed, error, written, process.WaitForExitAsync(late.Token));
            if (Task.WaitAny([all, Task.Delay(_limit)]) == 1 || all.IsCanceled)
                throw Failure(FormattableString.Invariant($"took longer than {_limit.TotalSeconds} seconds; raise \"timeout\", or make it faster"));
            if (canRepeat && process.ExitCode is InterruptedOnUnix or InterruptedOnWindows) return null;
            if (process.ExitCode != 0) throw Failure($"ended with exit code {process.ExitCode}{FirstLine(error.Result)}; mend it so that it prints a reward and ends with 0");
            string text = printed.Result.Trim();
            return float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float reward) && reward is >= 0 and <= 1
                ? reward
                : throw Failure($"printed '{Shown(text)}', but must print one number from 0 to 1");
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    private Process Start()
    {
        ProcessStartInfo start = new(_command[0], _command[1..]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        try
        {
            return Process.Start(start)!;
        }
        catch (Exception error) when (error is Win32Exception or InvalidOperationException)
        {
            throw Failure($"cannot be started ({error.Message.TrimEnd('.')}); give the path of a program that can be run", error);
        }
    }

    /// <summary>A program that does not want to read everything is none the worse for it.</summary>
    private static async Task Write(StreamWriter input, string response)
    {
        try
        {
            await input.WriteAsync(response).ConfigureAwait(false);
            input.Close();
        }
        catch (IOException)
        {
            // It has closed its input.
        }
    }

    private UserException Failure(string what, Exception? inner = null) =>
        inner is null ? new($"{_source}: command '{_command[0]}' {what}.") : new($"{_source}: command '{_command[0]}' {what}.", inner);

    private static string FirstLine(string error) => error.Trim() is { Length: > 0 } text ? $" ('{Shown(text.Split('\n')[0])}')" : "";

    private static string Shown(string text) => new([.. text.Take(80).Where(c => !char.IsControl(c))]);
}
