using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Cli;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Text from prompts without the command line.</summary>
public sealed class TextGeneratorTests
{
    /// <summary>All of them would take gigabytes before the first is drawn.</summary>
    [Fact]
    public void Responses_are_asked_for_as_rows_become_free()
    {
        using TinyTextModel tiny = new();
        using ModelFiles files = ModelFiles.Open(tiny.Path);
        using CpuDevice device = new(1);
        using LanguageModel model = files.LoadLanguageModel(Ops.For(device));
        using Guidance guidance = new FusedGuidance(model.Ops);
        GenerateSettings settings = new(GuidanceRule.Reference(), 1, MaxTokens: 2, Samples: 1 << 16, files.EndIds, [], 3, BatchRows: 4);
        List<int[]> prompts = [.. Enumerable.Repeat(files.Tokenizer.Encode("the cat"), 100)];
        TextGenerator generator = new(model, null, guidance, files.Tokenizer, settings);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.NotEmpty(generator.Run(prompts, null, TestContext.Current.CancellationToken).First().Ids);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 20);
    }

    [Fact]
    public void More_than_one_batch_holds_is_refused() =>
        Sentence.Assert(Assert.Throws<UserException>(() => new SampleBatch(1 << 16, 1, 1 << 20)).Message, "65536 responses", "--batch-rows");
}
