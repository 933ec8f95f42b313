using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;
using QSharp.Tests.Model;
using QSharp.Tests.StandIns;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>What is said when a card, its memory, a kernel's source or image, or a launch is not as it must be.</summary>
[Collection(CudaCollection.Name)]
public sealed class CudaSentenceTests : IDisposable
{
    private readonly CudaFixture _cuda;

    public CudaSentenceTests(CudaFixture cuda)
    {
        _cuda = cuda;
        cuda.Open().Dispose();   // skips where there is no stand-in
        StandIn.qsstandin_reset();
    }

    [Fact]
    public void A_machine_without_a_card_is_told_so()
    {
        Driver.SetDevices(0);
        AssertRefused("there is no CUDA card", "cuInit", "CUDA_ERROR_NO_DEVICE", "--device cpu", "qsharp devices");
    }

    [Theory, InlineData(100, "there is no CUDA card"), InlineData(803, "the driver did not start"), InlineData(999, "the driver did not start")]
    public void A_driver_that_does_not_start_is_named_with_its_error(int code, string why)
    {
        StandIn.qsstandin_fail("cuInit", 1, code);
        AssertRefused(why, $"({code}:", "cuInit", "--device cpu");
    }

    [Fact]
    public void A_card_that_is_too_old_is_told_what_is_needed()
    {
        Driver.SetCapability(7, 5);
        AssertRefused("compute capability 7.5", "8.0 or newer", "--device cpu");
    }

    [Fact]
    public void A_card_that_is_not_there_is_told_how_many_there_are() =>
        Sentence.Assert(Assert.Throws<UserException>(() => CudaDevice.Open(3)).Message, "cuda:3", "1 CUDA card;", "qsharp devices");

    [Fact]
    public void A_model_that_does_not_fit_leaves_the_memory_as_it_was()
    {
        using CudaDevice card = _cuda.Open();
        TransformerConfig config = TestModels.Config("gpt2", 3000);
        using LanguageModel model = new(Ops.For(card), config, DType.BF16);
        long before = card.AllocatedBytes, free = card.FreeBytes;
        StandIn.qsstandin_memory((nuint)(before + (1 << 20)));
        FixedRows source = new([TestModels.RandomTokens(1, 9, 3000)], [2], [1], null);
        UserException small = Assert.Throws<UserException>(
            () => new Trainer(model, new PretrainMethod(), source, new OptimizerSettings(new LearningRate(0.02f, 0, 3)), 1));
        Sentence.Assert(small.Message, "MiB free", "MiB more are needed", "smaller batch, model or context");
        StandIn.qsstandin_reset();
        Assert.Equal((before, free), (card.AllocatedBytes, card.FreeBytes));
    }

    [Theory, InlineData(200, "CUDA_ERROR_INVALID_IMAGE"), InlineData(218, "CUDA_ERROR_INVALID_PTX"), InlineData(222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION")]
    public void An_image_that_the_driver_refuses_is_named_by_its_source(int code, string error)
    {
        using CudaDevice card = _cuda.Open();
        StandIn.qsstandin_fail("cuModuleLoadDataEx", 1, code);
        CudaException refused = Assert.Throws<CudaException>(() => card.Kernels.Get("fill", "fill", ""));
        Assert.False(refused.IsSticky);
        Sentence.Assert(refused.Message, "cuModuleLoadDataEx", error, Path.Combine(Repository.Root, "kernels-cu", "fill.cu"));
        Assert.Equal("fill", card.Kernels.Get("fill", "fill", "").Name);   // the second time it is not refused
    }

    [Fact]
    public void A_kernel_that_does_not_compile_is_named_by_its_path_and_line()
    {
        using TemporaryFolder folder = new();
        foreach (string header in Directory.EnumerateFiles(Path.Combine(Repository.Root, "kernels-cu"), "*.cuh"))
            File.Copy(header, folder[Path.GetFileName(header)]);
        File.WriteAllText(folder["broken.cu"], "// variants: none\n#include \"qs.cuh\"\nextern \"C\" __global__ void QS_NAME(broken)(int* x) { x[0] = y; }\nQS_KERNEL(broken)\n");
        using CudaDevice card = CudaDevice.Open(0, folder.Path);
        string log = Assert.Throws<UserException>(() => card.Kernels.Get("broken", "broken", "")).Message;
        Assert.StartsWith($"{folder["broken.cu"]} does not compile:\n", log);
        Assert.Contains("broken.cu(3): error:", log);
        Assert.Contains("\"y\"", log);
    }

    [Fact]
    public void A_launch_with_wrong_arguments_is_refused_before_the_driver_sees_it()
    {
        using CudaDevice card = _cuda.Open();
        Kernel fill = card.Kernels.Get("fill", "fill", "");
        long launches = StandIn.Calls("cuLaunchKernel");
        Sentence.Assert(Assert.Throws<ArgumentException>(() => fill.Launch(1, 256, 0, Tensor.None, 1, 2)).Message, "fill", "(8, 4, 8)", "(8, 4, 4)");
        Sentence.Assert(Assert.Throws<ArgumentException>(() => fill.Launch(1, 256, 0, Tensor.None, 1)).Message, "fill", "(8, 4, 8)", "(8, 4)");
        Assert.Equal(launches, StandIn.Calls("cuLaunchKernel"));
    }

    [Fact]
    public void A_card_lost_in_training_leaves_the_checkpoint_that_it_names_and_the_run_goes_on_from_it()
    {
        using TemporaryFolder folder = new();
        RunFolder run = RunFolder.Open(folder["run"], "pretrain", ExistingFolder.Refuse, []);
        using MetricsLog metrics = new(run);
        float[] straight = Train(run, metrics, "straight", failsAt: 0).Weights;
        (_, CudaException? early) = Train(run, metrics, "early", failsAt: 1);
        Sentence.Assert(early!.Message, "cuGraphLaunch", "the device is lost to this process", "had no checkpoint yet", "--resume");
        (_, CudaException? lost) = Train(run, metrics, "late", failsAt: 4);   // the first step is none of a graph
        Sentence.Assert(lost!.Message, "cuGraphLaunch", "the device is lost to this process", run.File(Path.Combine("late", "checkpoint-000004")), "--resume");
        (float[] resumed, CudaException? none) = Train(run, metrics, "late", failsAt: 0);
        Assert.Null(none);
        Assert.Equal(straight, resumed);
    }

    public void Dispose() => StandIn.qsstandin_reset();

    /// <summary>Six steps with a checkpoint at every second one; the weights after them.</summary>
    private (float[] Weights, CudaException? Failure) Train(RunFolder run, MetricsLog metrics, string phase, int failsAt)
    {
        using CudaDevice card = _cuda.Open();
        TransformerConfig config = TestModels.Config("gpt2", 37, layers: 1);
        using LanguageModel model = new(Ops.For(card), config, DType.BF16);
        Initializer.Fresh(model.Weights, config, 5);
        FixedRows source = new([TestModels.RandomTokens(1, 9, 37)], [2], [1], null);
        using Trainer trainer = new(model, new PretrainMethod(), source, new OptimizerSettings(new LearningRate(0.02f, 0, 6)), 1);
        if (failsAt > 0) StandIn.qsstandin_fail("cuGraphLaunch", failsAt, 719);
        TrainingRun training = new(trainer, phase, run.File(phase), "settings", metrics) { SaveEvery = 2 };
        CudaException? failure = Record.Exception(() => training.Run(6, new SilentProgress(), TestContext.Current.CancellationToken)) as CudaException;
        float[] weights = new float[trainer.Optimizer.Weights.All.Count];
        if (failure is null) card.Download<float>(trainer.Optimizer.Weights.All, weights);
        StandIn.qsstandin_reset();
        return (weights, failure);
    }

    private static void AssertRefused(params string[] names)
    {
        Sentence.Assert(Assert.Throws<UserException>(() => CudaDevice.Open(0)).Message, names);
        StandIn.qsstandin_reset();
        CudaDevice.Open(0).Dispose();
    }
}
