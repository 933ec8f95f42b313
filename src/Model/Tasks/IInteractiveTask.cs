using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A task whose responses are not the model's alone: after some of its tokens an environment writes, such as a tool or another
/// player, by a law that the model does not control. Transitions are then stochastic (method notes §4.7).
/// </summary>
public interface IInteractiveTask : ITask
{
    /// <summary>What the environment writes after a response so far.</summary>
    /// <param name="response">Its last token is one that the model has just written.</param>
    /// <param name="random">Of this reply alone.</param>
    /// <returns>Nothing where the model goes on, or the response has ended.</returns>
    int[] Reply(Problem problem, ReadOnlySpan<int> response, ref PhiloxStream random);
}
