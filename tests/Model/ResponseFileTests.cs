using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Finished responses on disk: they come back as they were, and an evaluation goes on from them.</summary>
public sealed class ResponseFileTests
{
    private static readonly string _fingerprint = new('a', 64);

    private static readonly ScoredResponse[] _samples =
    [
        new(0, 0, [3, 1], 1, 0.25, 0, double.NaN, double.NaN) { LogPolicy = -2.25, LogTilt = -1.5, Seconds = 0.125 },
        new(7, 2, [.. Enumerable.Range(0, 500)], 0.5f, 1e-300, 2, -3, double.NaN) { LogPolicy = double.NegativeInfinity, LogTilt = double.NegativeInfinity, Seconds = 1 },
        new(7, 3, [4], 0, 0, 0, 1, double.NaN),
    ];

    [Fact]
    public void Responses_come_back_as_they_were_and_a_torn_tail_is_dropped()
    {
        using TemporaryFolder folder = new();
        string path = folder["responses.bin"];
        using (ResponseFile file = ResponseFile.Open(path, _fingerprint))
            for (int i = 0; i < 2; i++) file.Write(i, _samples[i]);
        byte[] whole = File.ReadAllBytes(path);
        using (ResponseFile file = ResponseFile.Open(path, _fingerprint)) file.Write(1, _samples[2]);
        File.WriteAllBytes(path, File.ReadAllBytes(path)[..^1]);
        using (ResponseFile file = ResponseFile.Open(path, _fingerprint))
        {
            Assert.Equal((2, 8 + 68 + 4 - 1), (file.Found, file.DroppedBytes));
            (List<ScoredResponse> found, List<int> missing) = file.Look(1, [0, 29, 30, 31], samples: 4);
            Assert.Equal([0, 29, 31], missing);
            Assert.Equal(Fields(_samples[1]), Fields(Assert.Single(found)));
            Assert.Equal(Fields(_samples[0]), Fields(Assert.Single(file.Look(0, [0], samples: 4).Found)));
        }
        Assert.Equal(whole, File.ReadAllBytes(path));
    }

    [Fact]
    public void Another_evaluation_s_responses_and_damaged_ones_are_refused_and_left_as_they_are()
    {
        using TemporaryFolder folder = new();
        string path = folder["responses.bin"];
        using (ResponseFile file = ResponseFile.Open(path, _fingerprint))
            foreach (ScoredResponse response in _samples) file.Write(0, response);
        byte[] whole = File.ReadAllBytes(path);
        Sentence.Assert(Assert.Throws<UserException>(() => ResponseFile.Open(path, new string('b', 64))).Message, path, "another guide");
        Assert.Equal(whole, File.ReadAllBytes(path));
        whole[^100] ^= 1;   // a token of the second
        File.WriteAllBytes(path, whole);
        Sentence.Assert(Assert.Throws<UserException>(() => ResponseFile.Open(path, _fingerprint)).Message, path, "record 1");
        Assert.Equal(whole, File.ReadAllBytes(path));
    }

    /// <summary>Stopped again and again, with policies that take turns, a function of the reward and votes: every bit is that of one that never stopped.</summary>
    [Theory, InlineData(HeadKind.V, 1), InlineData(HeadKind.Q, 3)]
    public void An_evaluation_that_was_stopped_goes_on_and_draws_nothing_twice(HeadKind kind, int samples)
    {
        StarGraphTask task = new(new StarGraphSettings(2, 3, 9));
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        TransformerConfig config = TestModels.Config("llama", task.Vocabulary);
        using LanguageModel reference = TestModels.Language(ops, config, 3);
        using ValueModel guide = TestModels.Value(ops, config, new ValueSettings(kind, ReturnFamily.Bernoulli, BidirectionalPrompt: false), 4);
        using Guidance fused = new FusedGuidance(ops);
        Policy[] policies =
        [
            new("reference", double.PositiveInfinity, GuidanceRule.Reference(1, 0.9f)), new("qsharp", 0.5, new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 2)),
            new("qsharp", double.NaN, new GuidanceRule(Tilt.Weighted, ReturnFamily.Bernoulli, 0)) { Function = new BestOfTilt(4) },
        ];
        Problem[] problems = task.TestProblems(5, 40);
        using TemporaryFolder folder = new();
        List<Evaluation> whole = Run(null, int.MaxValue)!;
        List<Evaluation>? parts = null;
        int stops = 0, total = policies.Length * problems.Length * samples;
        while (parts is null)
        {
            using ResponseFile file = ResponseFile.Open(folder["responses.bin"], _fingerprint);
            parts = Run(file, file.Found + total / 7);
            if (parts is null) stops++;
        }
        Assert.InRange(stops, 4, 7);
        using (ResponseFile file = ResponseFile.Open(folder["responses.bin"], _fingerprint))
        {
            Assert.Equal(total, file.Found);
            long length = new FileInfo(folder["responses.bin"]).Length;
            List<Evaluation> again = Run(file, int.MaxValue)!;
            Assert.Equal(parts.SelectMany(Figures), again.SelectMany(Figures));
            Assert.Equal(parts.Select(part => part.TokensPerSecond), again.Select(part => part.TokensPerSecond));
            Assert.Equal(length, new FileInfo(folder["responses.bin"]).Length);
        }
        Assert.Equal(whole.SelectMany(Figures), parts.SelectMany(Figures));

        List<Evaluation>? Run(ResponseFile? file, int most)
        {
            using CancellationTokenSource stop = new();
            Evaluator evaluator = new(task, problems, samples, batchRows: 6, candidates: 4, origin: GuidanceRule.Reference(0.8f)) { Kept = file };
            try
            {
                return evaluator.Run(policies, reference, guide, fused, 9, judges: true, new StopsAt(most, stop), stop.Token);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
        }
    }

    private static string Fields(ScoredResponse response) => string.Join(' ', (object[])
    [
        response.Problem, response.Sample, string.Join(',', response.Tokens), response.Reward, response.Kl, response.KlFloor, response.LogRatio, response.LogPolicy, response.LogTilt,
        response.Score,
    ]);

    private static IEnumerable<string> Figures(Evaluation evaluation) =>
        [$"{evaluation.Method} {evaluation.PassAt1} {evaluation.Kl} {evaluation.MajorityVote} {evaluation.WeightedVote} {evaluation.Foretold}", .. evaluation.Responses.Select(Fields)];

    /// <summary>Stops an evaluation once so many responses are there.</summary>
    private sealed class StopsAt(int most, CancellationTokenSource stop) : IProgressSink
    {
        public void Start(string phase, long total) { }

        public void Report(long step, ReadOnlySpan<(string Name, double Value)> figures)
        {
            if (step >= most) stop.Cancel();
        }

        public void Finish(string summary) { }

        public void Note(string text) { }
    }
}
