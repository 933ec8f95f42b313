using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// The bench of whoever writes kernels: lists what they take of a card, checks them against the float64 oracle and the CPU
/// twin, times them against the floor or an older version, and does so again at every save.
/// </summary>
internal static class KernelVerb
{
    public static Command Create()
    {
        Command verb = new("kernel", "List, check, time or watch one CUDA kernel or all; without a card, checks run on a stand-in for one.");
        Argument<string?> name = new("NAME") { Description = "A kernel file's name or an op case's.", Arity = ArgumentArity.ZeroOrOne };
        Option<bool> all = OptionFactory.Flag("--all", "Every kernel.");
        Option<bool> list = OptionFactory.Flag("--list", "Registers, shared memory, spills and blocks a multiprocessor; no card needed. The default.");
        Option<bool> check = OptionFactory.Flag("--check", "Run the op cases against the float64 oracle and the CPU twin.");
        Option<bool> operations = OptionFactory.Flag("--operations", "Check the named operations of qs.cuh, each alone: the first thing to run on a new card.");
        Option<bool> time = OptionFactory.Flag("--time", "Time the op cases on the card: median, rate, share of the floor.");
        Option<bool> watch = OptionFactory.Flag("--watch", "After each save of the kernel: check, and time where there is a card; Ctrl-C ends it.");
        Option<bool> ptx = OptionFactory.Flag("--ptx", "Print the PTX of the first variant or of --variant.");
        Option<string?> versus = OptionFactory.OptionalText("--versus", "An old version of the kernel's file, checked and timed in turn with the new one.");
        Option<string?> variant = OptionFactory.OptionalText("--variant", "For --list and --ptx: one variant, as \"T=bf16\" or bf16.");
        Option<string?> shape = OptionFactory.OptionalText("--shape", "One more shape, as 8192x4096.");
        Option<string?> kernels = OptionFactory.OptionalText("--kernels", "Folder of the kernels.");
        Option<string> device = OptionFactory.Text("--device", "A card, cuda or cuda:N; stand-in; or auto, the first card if there is one, else the stand-in.", "auto");
        Option<string?> json = new("--json")
        {
            Description = "Write one JSON document to a file, or without PATH to standard output alone.",
            HelpName = "PATH",
            Arity = ArgumentArity.ZeroOrOne,
            CustomParser = result => result.Tokens is [Token path] ? path.Value : null,
        };
        verb.Arguments.Add(name);
        foreach (Option option in (Option[])[all, list, check, operations, time, watch, versus, ptx, variant, shape, kernels, device, json]) verb.Options.Add(option);
        verb.SetAction((parsed, stop) =>
        {
            KernelRequest request = new()
            {
                Name = parsed.GetValue(name),
                IsAll = parsed.GetValue(all),
                Lists = parsed.GetValue(list),
                Checks = parsed.GetValue(check),
                ChecksOperations = parsed.GetValue(operations),
                Times = parsed.GetValue(time),
                Watches = parsed.GetValue(watch),
                PrintsPtx = parsed.GetValue(ptx),
                Versus = parsed.GetValue(versus),
                Variant = parsed.GetValue(variant),
                Shape = parsed.GetValue(shape),
                Folder = parsed.GetValue(kernels),
                Device = parsed.GetValue(device)!,
            };
            bool isJson = parsed.IsGiven(json);
            string? path = parsed.GetValue(json);
            JsonObject document = [];
            int code = Run(request, isJson && path is null ? TextWriter.Null : Console.Out, Console.Error, document, stop);
            if (isJson && path is null) Console.Out.WriteLine(document.ToJsonString());
            else if (isJson) AtomicFile.WriteText(path!, document.ToJsonString() + "\n");
            return Task.FromResult(code);
        });
        return verb;
    }

    /// <summary>Does what is asked.</summary>
    /// <param name="document">Takes the results as JSON.</param>
    /// <returns>The exit code: 1 where a check failed.</returns>
    internal static int Run(KernelRequest request, TextWriter output, TextWriter error, JsonObject document, CancellationToken stop)
    {
        KernelChoice choice = KernelChoice.Of(request);
        if (request.PrintsPtx) KernelListing.PrintPtx(request, choice, output, document);
        bool runs = request.Checks || request.ChecksOperations || request.Times || request.Watches || request.Versus is not null;
        if (request.Lists || !(runs || request.PrintsPtx)) KernelListing.Print(request, choice, output, document);
        if (!runs) return ExitCodes.Done;

        KernelCard card = KernelCard.Choose(request.Device, choice.Folder);
        if (card.IsStandIn && !request.TimesStandIn && (request.Times || request.Versus is not null))
            throw new UserException($"kernel {(request.Versus is null ? "--time" : "--versus")}: there is no CUDA card on this machine, and the stand-in for one has no speed; --check and --list work without a card.");
        KernelFolder? old = request.Versus is { } path ? OldVersion(choice, path) : null;
        if (card.IsStandIn) error.WriteLine("No CUDA card: the kernels run on the stand-in, which proves their results, not their speed.");
        if (request.Watches) KernelWatch.Run(request, choice, card, old, output, error, stop);

        bool isRight = true;
        if (request.ChecksOperations) isRight &= KernelOperations.Run(choice.Folder, card, output, error, document, stop);
        if (request.Checks || old is not null) isRight &= KernelChecks.Run(choice, card, choice.Folder, "", output, error, document, stop);
        if (old is not null) isRight &= KernelChecks.Run(choice, card, old, "old ", output, error, document, stop);
        if (request.Times || old is not null) KernelTimings.Run(choice, card, old, output, document, stop);
        return isRight ? ExitCodes.Done : ExitCodes.Failure;
    }

    private static KernelFolder OldVersion(KernelChoice choice, string path)
    {
        if (choice.Files.Count != 1) throw new UserException($"--versus {path}: name the one kernel file that it is a version of.");
        return File.Exists(path) ? choice.Folder.With(choice.Files[0], Path.GetFullPath(path))
            : throw new UserException($"--versus {path}: there is no such file; give an older version of {choice.Files[0]}.cu.");
    }
}
