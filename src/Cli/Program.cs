using System.CommandLine;
using System.Runtime.InteropServices;

using QSharp.Cli;
using QSharp.Cli.Verbs;
using QSharp.Engine;

// The verbs, one file each.
RootCommand root = new("QSharp: Q♯ post-training (arXiv 2502.20548) as a low-level engine, with no deep-learning framework.");
foreach (Command verb in (Command[])
    [StarGraphVerb.Create(), ToolCallVerb.Create(), WordProblemsVerb.Create(), PretrainVerb.Create(), CollectVerb.Create(), TrainVerb.Create(), EvaluateVerb.Create(), DiagnoseVerb.Create(), GenerateVerb.Create(), ScoreVerb.Create(), TokenizeVerb.Create(), InspectVerb.Create(), ConvertVerb.Create(), GradeVerb.Create(), KernelVerb.Create(), SpeedVerb.Create(), DevicesVerb.Create()])
    root.Subcommands.Add(verb);

using CancellationTokenSource stop = new();
void Interrupt(PosixSignalContext context)
{
    if (stop.IsCancellationRequested) Environment.Exit(ExitCodes.Interrupted);   // the second time: at once
    context.Cancel = true;
    Console.Error.WriteLine("Stopping; the work so far is being saved. Once more stops at once.");
    stop.Cancel();
}

using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);

try
{
    ParseResult result = root.Parse(ConfigFile.Merge(root, args), new ParserConfiguration { ResponseFileTokenReplacer = null });
    if (ParseErrors.First(root, result) is { } wrong)
    {
        Console.Error.WriteLine(wrong);
        Console.Error.WriteLine($"'qsharp {(result.CommandResult.Command == root ? "" : result.CommandResult.Command.Name + " ")}--help' lists what there is.");
        return ExitCodes.UserError;
    }
    return await result.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, stop.Token);
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return ExitCodes.UserError;
}
catch (CudaException error)
{
    Console.Error.WriteLine(error.Message);
    return ExitCodes.Failure;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    return ExitCodes.Interrupted;
}
catch (Exception error) when (error is IOException or UnauthorizedAccessException)
{
    // Such as a disk that is still full when a log is closed.
    Console.Error.WriteLine($"A file cannot be read or written ({error.Message.TrimEnd('.')}); check the disk's free space and the permissions.");
    return ExitCodes.UserError;
}
catch (Exception error)
{
    bool trace = Environment.GetEnvironmentVariable("QSHARP_TRACE") == "1";
    Console.Error.WriteLine($"Internal error: {(trace ? error : error.GetType().Name + ": " + error.Message)}");
    if (!trace) Console.Error.WriteLine("Set QSHARP_TRACE=1 for the stack trace, and please report it.");
    return ExitCodes.Failure;
}
