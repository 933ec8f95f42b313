using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Logits of a vocabulary are made some rows at a time in training: the same loss and gradient in less memory.</summary>
[Collection(CudaCollection.Name)]
public sealed class ChunkedLossTests(CudaFixture cuda)
{
    private const int Vocab = 300, ChunkRows = 4;   // of 18 losses, of which 10 are in use: the last chunk is short

    private static readonly int[] RowLengths = [9, 5, 4], FirstLoss = [3, 3, 2];

    [Theory, InlineData("gpt2"), InlineData("llama")]
    public void Loss_and_gradients_are_those_of_all_logits_at_once(string family)
    {
        using CpuDevice device = new(2);
        using LanguageModel model = TestModels.Language(Ops.For(device), TestModels.Config(family, Vocab), 1);
        (double Loss, float[] Gradient, long Bytes) whole = Step(model, long.MaxValue), chunked = Step(model, ChunkRows * Vocab * sizeof(float));
        Assert.Equal(whole.Loss, chunked.Loss, 1e-6);
        double error = whole.Gradient.Zip(chunked.Gradient, (a, b) => ((double)a - b) * (a - b)).Sum(), size = whole.Gradient.Sum(g => (double)g * g);
        Assert.InRange(Math.Sqrt(error / size), 0, 1e-5);
        Assert.True(size > 1e-4);
        // Less by the logits that are not held, but for rounding to 256 bytes.
        int losses = RowLengths.Length * RowLengths.Zip(FirstLoss, (length, first) => length - first).Max();
        Assert.InRange(whole.Bytes - chunked.Bytes, (losses - ChunkRows) * Vocab * sizeof(float) - 512, (losses - ChunkRows) * Vocab * sizeof(float) + 512);
    }

    [Fact]
    public void A_run_in_chunks_repeats_bit_for_bit_on_any_number_of_threads()
    {
        float[][] weights = [.. ((int[])[1, 2]).Select(threads =>
        {
            using CpuDevice device = new(threads);
            using LanguageModel model = TestModels.Language(Ops.For(device), TestModels.Config("llama", Vocab), 1);
            using Trainer trainer = new(Learner(model, ChunkRows * Vocab * sizeof(float)));
            for (int step = 0; step < 4; step++)
            {
                trainer.FillBatch();
                trainer.RunStep();
            }
            return model.Weights.Named.SelectMany(each => each.Value.Span<float>().ToArray()).ToArray();
        })];
        Assert.Equal(weights[0], weights[1]);
    }

    [Theory, InlineData("gpt2"), InlineData("llama")]
    public void Ids_beyond_the_tokenizers_have_no_chance_and_no_gradient(string family)
    {
        using CpuDevice device = new(1);
        using LanguageModel model = TestModels.Language(Ops.For(device), TestModels.Config(family, Vocab), 1);
        using LanguageModel padded = TestModels.Language(Ops.For(device), TestModels.Config(family, Vocab + 7), 2);
        foreach (((_, Tensor from, _), (_, Tensor to, _)) in model.Weights.Named.Zip(padded.Weights.Named)) from.Span<float>().CopyTo(to.Span<float>());
        using ModelLearner expected = Learner(model, ChunkRows * Vocab * sizeof(float)), learner = Learner(padded, ChunkRows * Vocab * sizeof(float), Vocab);
        Assert.Equal(Step(expected), Step(learner), 1e-6);
        foreach (((string name, Tensor right, _), (_, Tensor gradient, _)) in expected.Optimizer.Gradients.Named.Zip(learner.Optimizer.Gradients.Named))
        {
            float[] small = TensorValues.Read(right), large = TensorValues.Read(gradient);
            for (int i = 0; i < large.Length; i++)
                Assert.True(Math.Abs(large[i] - (i < small.Length ? small[i] : 0)) < 1e-5, $"{name}: gradient {i} is {large[i]}.");
        }
    }

    [Fact]
    public void BF16_logits_go_in_chunks_too()
    {
        using CudaDevice card = cuda.Open();
        double[][] losses = [.. ((long[])[long.MaxValue, ChunkRows * Vocab * 2]).Select(bytes =>
        {
            using LanguageModel model = new(Ops.For(card), TestModels.Config("llama", Vocab), DType.BF16);
            Initializer.Fresh(model.Weights, model.Config, 5);
            using Trainer trainer = new(Learner(model, bytes));
            return Enumerable.Range(0, 4).Select(_ =>
            {
                trainer.FillBatch();
                return trainer.RunStep();   // plain, captured, replayed
            }).ToArray();
        })];
        for (int step = 0; step < 4; step++) Assert.Equal(losses[0][step], losses[1][step], 0.01 * losses[0][step]);
        Assert.True(losses[1][3] < 0.95 * losses[1][0], string.Join(", ", losses[1]));
    }

    private static (double Loss, float[] Gradient, long Bytes) Step(LanguageModel model, long chunkBytes)
    {
        using ModelLearner learner = Learner(model, chunkBytes);
        double loss = Step(learner);
        return (loss, [.. learner.Optimizer.Gradients.Named.SelectMany(each => TensorValues.Read(each.Value))], learner.ActivationBytes);
    }

    private static double Step(ModelLearner learner)
    {
        learner.Fill(1);
        learner.Upload();
        learner.Optimizer.ZeroGradients();
        learner.Forward();
        learner.Loss();
        double loss = TensorValues.Read(learner.Losses).Sum();
        learner.Backward();
        Assert.Equal(loss, TensorValues.Read(learner.Losses).Sum());
        return loss;
    }

    private static ModelLearner Learner(LanguageModel model, long chunkBytes, int vocabulary = 0)
    {
        int[][] rows = [.. RowLengths.Select((length, row) => TestModels.RandomTokens(100 + (ulong)row, length, Vocab))];
        return new ModelLearner(
            model, new PretrainMethod(), new FixedRows(rows, FirstLoss, new float[rows.Length], null), new OptimizerSettings(new LearningRate(0.02f, 0, 4)), rows.Length,
            chunkBytes: chunkBytes, vocabulary: vocabulary);
    }
}
