using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;
using QSharp.Tests.Model;
using QSharp.Tests.StandIns;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>
/// Every call that opening a card, training and guided decoding make of the driver and of cuBLAS fails once: each failure comes
/// out as one sentence that names it, nothing is thrown on top of it or leaked, and the card opened next works.
/// </summary>
[Collection(CudaCollection.Name)]
public sealed class CudaFaultTests(CudaFixture cuda) : IDisposable
{
    private const int OutOfMemory = 2, IllegalAddress = 700, LaunchFailed = 719, Stride = 7, Few = 16, Vocab = 37;
    private const string Retain = "cuDevicePrimaryCtxRetain", Release = "cuDevicePrimaryCtxRelease_v2";

    /// <summary>Calls that make something, and those that give it back.</summary>
    private static readonly (string Makes, string GivesBack)[] Pairs =
    [
        (Retain, Release), ("cuMemAlloc_v2", "cuMemFree_v2"), ("cuMemHostAlloc", "cuMemFreeHost"), ("cuStreamCreate", "cuStreamDestroy_v2"),
        ("cuEventCreate", "cuEventDestroy_v2"), ("cuModuleLoadDataEx", "cuModuleUnload"), ("cuStreamEndCapture", "cuGraphDestroy"),
        ("cuGraphInstantiateWithFlags", "cuGraphExecDestroy"), ("cublasCreate_v2", "cublasDestroy_v2"),
    ];

    [Theory, InlineData(OutOfMemory), InlineData(IllegalAddress), InlineData(LaunchFailed)]
    public void Opening_a_card_fails_in_one_sentence_whichever_call_fails(int code) => FailEach(code, stride: 1, (_, _) => []);

    [Theory, InlineData(OutOfMemory), InlineData(IllegalAddress), InlineData(LaunchFailed)]
    public void Training_fails_in_one_sentence_whichever_call_fails(int code) => FailEach(code, Stride, Train);

    [Theory, InlineData(OutOfMemory), InlineData(IllegalAddress), InlineData(LaunchFailed)]
    public void Guided_decoding_fails_in_one_sentence_whichever_call_fails(int code) => FailEach(code, Stride, Decode);

    [Fact]
    public void Reading_with_a_guide_gives_back_what_it_took_whichever_call_fails() => FailEach(OutOfMemory, stride: 1, Read);

    public void Dispose() => StandIn.qsstandin_reset();

    /// <summary>
    /// Plants the failure at calls of every entry point: all where they are few, else the first, each stride-th and the last; a
    /// fault that stays only at the first and the last.
    /// </summary>
    private void FailEach(int code, int stride, Func<CudaDevice, Stack<IDisposable>, double[]> work)
    {
        cuda.Open().Dispose();
        double[] right = Whole(work);
        Dictionary<string, int> counts = [];
        for (int i = 0; Driver.Api(i) is { } function; i++) counts[function] = (int)StandIn.Calls(function);
        long free = FreeBytes();
        int failed = 0;
        foreach ((string function, int count) in counts.Where(entry => entry.Value > 0))
        {
            int step = code != OutOfMemory && stride > 1 ? Math.Max(1, count - 1) : count <= Few ? 1 : stride;
            foreach (int nth in Enumerable.Range(1, count).Where(nth => (nth - 1) % step == 0 || nth == count))
            {
                FailOne(function, nth, code, work);
                Assert.Equal(free, FreeBytes());
                failed++;
            }
        }
        Assert.True(failed >= counts.Count(entry => entry.Value > 0));
        Assert.Equal(right, Whole(work));
    }

    private static void FailOne(string function, int nth, int code, Func<CudaDevice, Stack<IDisposable>, double[]> work)
    {
        string what = $"{function}, call {nth}, code {code}";
        StandIn.qsstandin_reset();
        StandIn.qsstandin_fail(function, nth, code);
        (Exception? failure, bool isLost) = Attempt(what, card => work(card.Device, card.Owned));
        bool givesBack = Pairs.Any(pair => pair.GivesBack == function);
        if (failure is null)
        {
            Assert.True(givesBack, $"{what}: nothing was said.");
        }
        else
        {
            Assert.True(failure is UserException or CudaException, $"{what}: {failure}");
            Sentence.Assert(failure.Message);
            Assert.DoesNotContain(". ", failure.Message);
            bool isMemory = function == "cuMemAlloc_v2" && code == OutOfMemory;
            if (!givesBack) Assert.Contains(isMemory ? "MiB" : function, failure.Message);
            if (function == "cuLaunchKernel")
                foreach (string part in (string[])["in kernel ", "grid (", "block (", " bytes of dynamic shared memory"]) Assert.Contains(part, failure.Message);
            Assert.Equal(isLost, failure.Message.Contains("the device is lost to this process", StringComparison.Ordinal));
        }
        foreach ((string makes, string givesBackAgain) in isLost ? Pairs[..1] : Pairs)
        {
            long made = StandIn.Calls(makes) - (makes == function && failure is not null ? 1 : 0);
            Assert.True(made == StandIn.Calls(givesBackAgain), $"{what}: {made} times {makes}, but {StandIn.Calls(givesBackAgain)} times {givesBackAgain}.");
        }
        StandIn.qsstandin_reset();
        if (function == Release) _ = CuDriver.cuDevicePrimaryCtxRelease_v2(0);   // the planted one did nothing
    }

    /// <summary>Opens a card, works with it and disposes of all in turn.</summary>
    /// <returns>What was thrown, and whether a fault of the card says so.</returns>
    private static (Exception? Failure, bool IsLost) Attempt(string what, Action<(CudaDevice Device, Stack<IDisposable> Owned)> work)
    {
        Stack<IDisposable> owned = [];
        CudaDevice? card = null;
        Exception? failure = Record.Exception(() =>
        {
            card = CudaDevice.Open(0);
            work((card, owned));
        });
        Exception? onDisposal = Record.Exception(() =>
        {
            while (owned.TryPop(out IDisposable? one)) one.Dispose();
            if (card is { IsLost: false }) Assert.Equal(card.WorkingBytes, card.AllocatedBytes);
            card?.Dispose();
        });
        Assert.True(onDisposal is null, $"{what}: disposal threw {onDisposal} after {failure}");
        bool isLost = card?.IsLost ?? (failure?.InnerException as CudaException ?? failure as CudaException) is { IsSticky: true };
        return (failure, isLost);
    }

    private static double[] Whole(Func<CudaDevice, Stack<IDisposable>, double[]> work)
    {
        StandIn.qsstandin_reset();
        double[] result = [];
        (Exception? failure, _) = Attempt("no failure", card => result = work(card.Device, card.Owned));
        Assert.True(failure is null, $"{failure}");
        return result;
    }

    /// <summary>Bytes that a card has free when it was opened anew and a kernel has run on it and done its work.</summary>
    private static long FreeBytes()
    {
        using CudaDevice card = CudaDevice.Open(0);
        long free = card.FreeBytes;
        using DeviceBuffer memory = card.Allocate(16);
        Tensor x = new(memory, 0, DType.F32, 4);
        Ops.For(card).Fill(x, 3f);
        float[] values = new float[4];
        card.Download<float>(x, values);
        Assert.Equal([3, 3, 3, 3], values);
        return free;
    }

    /// <summary>Three steps: a plain one, a captured one, a replayed one.</summary>
    private static double[] Train(CudaDevice card, Stack<IDisposable> owned)
    {
        TransformerConfig config = TestModels.Config("gpt2", Vocab, layers: 1);
        LanguageModel model = Keep(owned, new LanguageModel(Ops.For(card), config, DType.BF16));
        Initializer.Fresh(model.Weights, config, 5);
        FixedRows source = new([TestModels.RandomTokens(1, 9, Vocab), TestModels.RandomTokens(2, 7, Vocab)], [2, 3], [1, 0], null);
        Trainer trainer = Keep(owned, new Trainer(model, new PretrainMethod(), source, new OptimizerSettings(new LearningRate(0.02f, 0, 3)), 2));
        double[] losses = new double[3];
        foreach (ref double loss in losses.AsSpan())
        {
            trainer.FillBatch();
            loss = trainer.RunStep();
        }
        return losses;
    }

    /// <summary>Five tokens, so that the recorded step runs plain, captured and replayed.</summary>
    private static double[] Decode(CudaDevice card, Stack<IDisposable> owned)
    {
        Ops ops = Ops.For(card);
        TransformerConfig config = TestModels.Config("llama", Vocab, layers: 1);
        LanguageModel reference = Keep(owned, new LanguageModel(ops, config, DType.BF16));
        ValueModel guide = Keep(owned, new ValueModel(ops, config, new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, false), DType.BF16));
        Initializer.Fresh(reference.Weights, config, 5);
        Initializer.Fresh(guide.Weights, config, 6);
        Guidance guidance = Keep(owned, new FusedGuidance(ops));
        Sampler sampler = Keep(owned, new Sampler(reference, guide, guidance, new SamplerShape(2, 4, 5, Candidates: 5), []));
        SampleBatch batch = new(2, 4, 5);
        for (int row = 0; row < 2; row++) batch.Add(TestModels.RandomTokens(7 + (ulong)row, 4 - row, Vocab), 5, row);
        sampler.Run(batch, new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 2), 11);
        return [.. batch.Responses.Select(token => (double)token)];
    }

    /// <summary>What a guide says of prompts and of a response.</summary>
    private static double[] Read(CudaDevice card, Stack<IDisposable> owned)
    {
        Ops ops = Ops.For(card);
        TransformerConfig config = TestModels.Config("llama", Vocab, layers: 1);
        LanguageModel reference = Keep(owned, new LanguageModel(ops, config, DType.BF16));
        ValueModel guide = Keep(owned, new ValueModel(ops, config, new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, false), DType.BF16));
        Initializer.Fresh(reference.Weights, config, 5);
        Initializer.Fresh(guide.Weights, config, 6);
        PromptLaws laws = Keep(owned, new PromptLaws(reference, guide, 2, 4, 3, 0));
        GuideJudge judge = Keep(owned, new GuideJudge(reference, guide, 2, 6));
        int[] prompt = TestModels.RandomTokens(7, 4, Vocab);
        return [laws.Read([prompt], GuidanceRule.Reference(), default)[0].Mean, judge.Score([(prompt, [3, 4])])[0]];
    }

    private static T Keep<T>(Stack<IDisposable> owned, T one) where T : IDisposable
    {
        owned.Push(one);
        return one;
    }
}
