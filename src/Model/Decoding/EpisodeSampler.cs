using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A response that a model and an environment wrote in turns.</summary>
/// <param name="Replies">[tokens]: which are the environment's.</param>
/// <param name="Kl">Σ KL(π ‖ π_ref) over the model's own tokens, exact per step, in nats; the environment's are not tilted.</param>
/// <param name="LogNormalizer">ln Σ π_ref(y) exp(g(y)) of the first token: what the guide thinks of the prompt, over η.</param>
public sealed record Episode(int[] Tokens, bool[] Replies, double Kl, double LogNormalizer, float Reward);

/// <summary>
/// Draws responses to an interactive task: the model writes until the environment has something to say, and then both texts are
/// the next turn's prompt, which is read anew: simple, at the price of one pass over it a turn.
/// </summary>
public sealed class EpisodeSampler : IDisposable
{
    private const uint TurnStream = 0x50, ReplyStream = 0x51;

    private readonly IInteractiveTask _task;
    private readonly Sampler _sampler;
    private readonly SampleBatch _batch;

    /// <param name="guide">For guided rules; null: none.</param>
    /// <exception cref="UserException">The guide's prompt is bidirectional: it would read a response as part of the prompt.</exception>
    public EpisodeSampler(IInteractiveTask task, LanguageModel reference, IGuide? guide, Guidance guidance, int rows, int candidates)
    {
        if (guide is { Settings.BidirectionalPrompt: true })
            throw new UserException("A guide that reads prompts in both directions cannot follow an environment's turns; train one with --guide-prompt causal.");
        _task = task;
        int longest = task.PromptLimit + task.ResponseLimit;
        _sampler = new Sampler(
            reference, guide, guidance, new SamplerShape(rows, longest, task.ResponseLimit, candidates, RowTokens: longest, Vocabulary: task.Vocabulary), task.Stops);
        _batch = new SampleBatch(rows, longest, task.ResponseLimit);
    }

    /// <summary>One response to each problem, at most as many as there are rows.</summary>
    /// <param name="firstStream">Stream of random numbers of the first; the others have the next ones. The environment's noise is the same for every rule.</param>
    public Episode[] Run(IReadOnlyList<Problem> problems, int firstStream, GuidanceRule rule, ulong key, CancellationToken stop)
    {
        ulong turnKey = Philox.Key(key, TurnStream), replyKey = Philox.Key(key, ReplyStream);
        Talk[] talks = [.. problems.Select((problem, i) => new Talk(_task, problem, firstStream + i, replyKey))];
        Talk[] open = talks;
        for (uint turn = 0; open.Length > 0; turn++)
        {
            _batch.Clear();
            foreach (Talk talk in open) _batch.Add([.. talk.Problem.Prompt, .. talk.Tokens], _task.ResponseLimit - talk.Tokens.Count, talk.Stream);
            _sampler.Run(_batch, rule, Philox.Key(turnKey, turn), stop, (row, token) => open[row].Take(token));
            for (int row = 0; row < open.Length; row++) open[row].EndTurn(_batch, row);
            open = [.. open.Where(talk => talk.IsOpen)];
        }
        return [.. talks.Select(talk => talk.Episode)];
    }

    public void Dispose() => _sampler.Dispose();

    private sealed class Talk(IInteractiveTask task, Problem problem, int stream, ulong replyKey)
    {
        private readonly List<bool> _replies = [];
        private double _kl;
        private double? _logNormalizer;

        public Problem Problem => problem;

        public int Stream => stream;

        public List<int> Tokens { get; } = [];

        /// <summary>Whether the model is to write again.</summary>
        public bool IsOpen { get; private set; }

        public Episode Episode => new([.. Tokens], [.. _replies], _kl, _logNormalizer ?? 0, task.Reward(problem, CollectionsMarshal.AsSpan(Tokens)));

        /// <summary>Takes a token of the model's and the environment's reply to it.</summary>
        /// <returns>Whether the model goes on at once.</returns>
        public bool Take(int token)
        {
            Tokens.Add(token);
            _replies.Add(false);
            // A block of random numbers to each reply, by its place.
            PhiloxStream random = new(replyKey, ((ulong)(uint)stream << 32) | ((ulong)(uint)Tokens.Count << 10));
            int[] reply = task.Reply(problem, CollectionsMarshal.AsSpan(Tokens), ref random);
            if (reply.Length == 0) return true;
            reply = reply[..Math.Min(reply.Length, task.ResponseLimit - Tokens.Count)];
            Tokens.AddRange(reply);
            _replies.AddRange(Enumerable.Repeat(true, reply.Length));
            return false;
        }

        public void EndTurn(SampleBatch batch, int row)
        {
            _kl += batch.Sum(row, SampleStatistics.Kl);
            _logNormalizer ??= batch.Statistics[row * batch.NewTokens * SampleStatistics.Count + SampleStatistics.LogNormalizer];
            IsOpen = _replies[^1] && Tokens.Count < task.ResponseLimit;
        }
    }
}
