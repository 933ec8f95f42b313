using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Draws responses: token by token (<see cref="Sampler"/>), or a block at a time (<see cref="BlockSampler"/>).</summary>
public interface IResponseSampler : IDisposable
{
    /// <summary>Samples a response to every request, in whatever order they end. Each is the same in any batch of as many rows.</summary>
    /// <param name="requests">Read as rows become free.</param>
    /// <param name="batch">Holds the responses that are being drawn; of as many rows as the sampler.</param>
    /// <param name="key">Of the noise; with the rows' streams and the positions it fixes every draw.</param>
    /// <param name="goesOn">Sees every row and token of a response, and says whether it goes on; null: always.</param>
    /// <returns>The rows whose responses have ended. Each keeps its response until the next is asked for.</returns>
    IEnumerable<int> Run(
        IEnumerable<SampleRequest> requests, SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default, Func<int, int, bool>? goesOn = null);
}
