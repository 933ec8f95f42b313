using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Learners that look at the batch on the host between two steps, on the CUDA device beside the CPU.</summary>
[Collection(CudaCollection.Name)]
public sealed class CudaLearnerTests(CudaFixture cuda)
{
    private const int Steps = 5;

    /// <summary>With F32 alone where a policy draws its own samples: BF16 draws others.</summary>
    public static TheoryData<string, DType> Learners() => new()
    {
        { "ppo", DType.F32 }, { "kl-regularised", DType.F32 }, { "cd-q", DType.F32 }, { "batch-tokens", DType.F32 },
        { "kl-regularised", DType.BF16 }, { "cd-q", DType.BF16 }, { "batch-tokens", DType.BF16 },
    };

    [Theory, MemberData(nameof(Learners))]
    public void Steps_follow_those_of_the_CPU(string name, DType matrices)
    {
        using CpuDevice cpu = new(1);
        using CudaDevice card = cuda.Open();
        using Run slow = new(Ops.For(cpu), name, DType.F32), fast = new(Ops.For(card), name, matrices);
        double tolerance = matrices == DType.F32 ? 2e-3 : 0.05;
        List<double> losses = [];
        for (int step = 1; step <= Steps; step++)
        {
            Assert.Equal(slow.Trainer.FillBatch(), fast.Trainer.FillBatch());
            losses.Add(slow.Trainer.RunStep());
            double loss = fast.Trainer.RunStep();
            Assert.True(Math.Abs(loss - losses[^1]) <= tolerance * Math.Max(1, Math.Abs(losses[^1])), $"step {step}: the loss is {loss}, on the CPU {losses[^1]}.");
            Assert.Equal(slow.Trainer.Figures, fast.Trainer.Figures);
        }
        Assert.True(losses.Max() - losses.Min() > 10 * 2e-3, $"The losses {string.Join(", ", losses)} hardly differ, so that nothing is shown.");
    }

    /// <summary>A learner on a device, the same on all.</summary>
    private sealed class Run : IDisposable
    {
        private const int Vocabulary = 11;

        private static readonly OptimizerSettings _settings = new(new LearningRate(0.002f, 0, Steps));

        private readonly Stack<IDisposable> _owned = new();

        public Run(Ops ops, string name, DType matrices)
        {
            Trainer = new Trainer(name == "ppo" ? Policy(ops, matrices) : Guide(ops, name, matrices));
            _owned.Push(Trainer);
        }

        public Trainer Trainer { get; }

        public void Dispose()
        {
            while (_owned.TryPop(out IDisposable? each)) each.Dispose();
        }

        /// <summary>
        /// On its own samples, two steps on each batch of them, some ids of the model beyond the task's. It starts away from π_ref, so
        /// that the price of KL gives each token a reward.
        /// </summary>
        private PolicyLearner Policy(Ops ops, DType matrices)
        {
            StarGraphTask task = new(StarGraphRecipe.For(2, 3, 9).Graph);
            TransformerConfig config = TestModels.Config("gpt2-untied", task.Vocabulary + 3, task.PromptLimit + task.ResponseLimit);
            LanguageModel reference = Fresh(new LanguageModel(ops, config, matrices)), policy = Fresh(new LanguageModel(ops, config, matrices), 6);
            FreshSource source = Own(new FreshSource(task, policy, new FreshSettings(6, StepsPerSample: 2), 9));
            Critic critic = new(reference, source, _settings, 6);
            return new PolicyLearner(policy, reference, new PpoMethod(0.5f), source, _settings, 6, critic, vocabulary: task.Vocabulary);
        }

        private ModelLearner Guide(Ops ops, string name, DType matrices)
        {
            bool isLagged = name == "kl-regularised";
            ValueSettings settings = new(HeadKind.V, isLagged ? ReturnFamily.Categorical(0, 1, 4) : ReturnFamily.Bernoulli, BidirectionalPrompt: false);
            Rollout[] rollouts = [.. Enumerable.Range(0, 14).Select(i =>
            {
                int prompt = 2 + i % 3, response = 3 + i * 7 % 8;
                return new Rollout(i, i, 1 + i % 2, TestModels.RandomTokens((ulong)i, prompt + response, Vocabulary), prompt, 1 + i % 3, 0, i % 4 / 3f);
            })];
            BatchSize size = name == "batch-tokens" ? new BatchSize(4, 40) : 4;
            RolloutSource source = new(rollouts, settings, 3, size: size);
            ValueModel guide = Fresh(new ValueModel(ops, TestModels.Config("llama", Vocabulary), settings, matrices));
            return name switch
            {
                "kl-regularised" => new LaggedLearner(new ReturnLoss(ReturnLossKind.Regularised, Kappa: 1, Lag: 2), guide, source, _settings, size, null),
                "cd-q" => new NextValueLearner(
                    Fresh(new LanguageModel(ops, TestModels.Config("gpt2", Vocabulary + 2), matrices)), new NextTokenLaw(0.8f, 1, Vocabulary, 5), guide,
                    new ControlledDecodingMethod(), source, _settings, size, null),
                _ => new ModelLearner(guide, new QSharpMethod(settings.Family), source, _settings, size),
            };
        }

        private T Fresh<T>(T model, ulong key = 5) where T : HeadedModel
        {
            Initializer.Fresh(model.Weights, model.Config, key);
            if (model is ValueModel) TensorValues.Write([.. Enumerable.Range(0, (int)model.Weights.Head.Count).Select(i => MathF.Sin(i))], model.Weights.Head);
            return Own(model);
        }

        private T Own<T>(T each) where T : IDisposable
        {
            _owned.Push(each);
            return each;
        }
    }
}
