using System.Text.Json.Nodes;

using QSharp.Cli.Verbs;
using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>Each named operation of qs.cuh alone: on the stand-in what `qsharp kernel --operations` runs on a card.</summary>
[Collection(CudaCollection.Name)]
public sealed class OperationTests(CudaFixture cuda)
{
    public static TheoryData<string> Names() => [.. OperationChecks.All.Select(check => check.Name)];

    [Theory, MemberData(nameof(Names))]
    public void A_named_operation_does_what_it_says(string name)
    {
        using CudaDevice device = StandInKernels.Open(cuda, isChecked: true);
        Assert.Null(OperationChecks.All.Single(check => check.Name == name).Run(device));
    }

    [Fact]
    public void A_wrong_operation_is_told_and_the_others_still_run()
    {
        StandInKernels.Open(cuda).Dispose();   // skips where there is no stand-in
        using TemporaryFolder copy = new();
        CopyTo(copy.Path, "stand-in", "*");
        CopyTo(copy.Path, "", "*.cuh");
        CopyTo(copy.Path, "checks", "*.cu");
        string path = Path.Combine(copy.Path, "checks", "operations.cu"), text = File.ReadAllText(path);
        const string Head = "copy_async)(const float* in, float* out, int valid) {";
        Assert.Contains(Head, text);
        File.WriteAllText(path, text.Replace(Head, Head + "\n    valid++;"));
        KernelFolder folder = KernelFolder.Find(copy.Path);
        using StringWriter output = new(), error = new();
        JsonObject document = [];
        KernelCard card = KernelCard.Choose("stand-in", folder);
        Assert.False(KernelOperations.Run(folder, card, output, error, document, TestContext.Current.CancellationToken));
        JsonNode[] rows = [.. document["operations"]!.AsArray().OfType<JsonNode>()];
        Assert.Equal(OperationChecks.All.Select(check => check.Name), rows.Select(row => (string)row["operation"]!));
        Assert.All(rows, row => Assert.Equal(!((string)row["operation"]!).Contains("zero-filled"), (bool)row["right"]!));
        Assert.Contains("cp.async, some zero-filled: element 52 is 53, not 0", error.ToString());
    }

    private static void CopyTo(string to, string folder, string pattern)
    {
        Directory.CreateDirectory(Path.Combine(to, folder));
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Repository.Root, "kernels-cu", folder), pattern))
            File.Copy(file, Path.Combine(to, folder, Path.GetFileName(file)));
    }
}
