using System.Diagnostics.CodeAnalysis;
using System.Globalization;

using QSharp.Engine;

namespace QSharp.Cli.Verbs;

/// <summary>Checks a kernel, and times it where there is a card, at each save of its file or of a header.</summary>
internal static class KernelWatch
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    /// <summary>Goes on until it is stopped: files that do not compile and faults of the card are printed and waited out.</summary>
    /// <param name="old">The folder with an old version in it, to time beside the new one; null for none.</param>
    /// <exception cref="OperationCanceledException">Always, in the end.</exception>
    [DoesNotReturn]
    public static void Run(
        KernelRequest request, KernelChoice choice, KernelCard card, KernelFolder? old, TextWriter output, TextWriter error, CancellationToken stop)
    {
        string[] files = [.. choice.Files.Select(file => Path.Combine(choice.Folder.Path, file + ".cu"))];
        while (true)
        {
            string seen = Stamp(choice.Folder, files);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{DateTime.Now:HH:mm:ss} {string.Join(", ", choice.Files)}"));
            Once(request, choice, card, old, output, error, stop);
            output.WriteLine("Waiting for the next save; Ctrl-C ends.");
            output.Flush();
            while (Stamp(choice.Folder, files) is var now && (now == seen || now.Length == 0))
            {
                stop.WaitHandle.WaitOne(Interval);
                stop.ThrowIfCancellationRequested();
            }
        }
    }

    private static void Once(
        KernelRequest request, KernelChoice choice, KernelCard card, KernelFolder? old, TextWriter output, TextWriter error, CancellationToken stop)
    {
        try
        {
            bool isRight = KernelChecks.Run(choice, card, choice.Folder, "", output, error, [], stop);
            if (isRight && (!card.IsStandIn || request.TimesStandIn)) KernelTimings.Run(choice, card, old, output, [], stop);
        }
        catch (UserException wrong)
        {
            error.WriteLine(wrong.Message);
        }
        catch (CudaException failure)
        {
            error.WriteLine(failure.Message);
        }
    }

    /// <summary>Tells the states of the files apart; empty while an editor has one of them away.</summary>
    private static string Stamp(KernelFolder folder, string[] files)
    {
        FileInfo[] all = [.. files.Concat(Directory.EnumerateFiles(folder.Path, "*.cuh").Order(StringComparer.Ordinal)).Select(file => new FileInfo(file))];
        return all.All(file => file.Exists) ? string.Join('\n', all.Select(file => $"{file.FullName} {file.LastWriteTimeUtc.Ticks} {file.Length}")) : "";
    }
}
