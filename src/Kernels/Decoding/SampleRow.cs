using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// A draw from softmax(scores) of each row: the token of the largest score + Gumbel noise, where the noise is a pure
    /// function of (key, stream, position, token); see GumbelNoise. Scores need no normalising. A token of −∞ (or NaN) is
    /// never drawn; a row of nothing else gives its first token that is neither, which is 0 if there is none.
    /// </summary>
    /// <param name="scores">[B, V].</param>
    /// <param name="streams">[B] I32: which sample a row is, so that its draws do not depend on its place in the batch.</param>
    /// <param name="positions">[B] I32: which draw of the sample this is.</param>
    /// <param name="key">Of the run; see <see cref="Philox.Key"/>.</param>
    /// <param name="next">[B] I32.</param>
    public void SampleRow(Tensor scores, Tensor streams, Tensor positions, ulong key, Tensor next)
    {
        int rows = scores.Shape.Rows;
        Require(scores, rows, scores.Shape.Last);
        Require(streams, rows, DType.I32);
        Require(positions, rows, DType.I32);
        Require(next, rows, DType.I32);
        using OpSpan traced = Traced(scores, streams, positions, next);
        if (rows > 0) SampleRowCore(scores, streams, positions, key, next);
    }

    private protected abstract void SampleRowCore(Tensor scores, Tensor streams, Tensor positions, ulong key, Tensor next);
}

public sealed unsafe partial class CpuOps
{
    private protected override void SampleRowCore(Tensor scores, Tensor streams, Tensor positions, ulong key, Tensor next)
    {
        int vocabulary = scores.Shape.Last;
        _workers.For(
            scores.Shape.Rows, Grain(8L * vocabulary),
            new SampleRowWork(scores.Floats(), streams.Ints(), positions.Ints(), key, next.Ints(), vocabulary));
    }

    private readonly struct SampleRowWork(float* scores, int* streams, int* positions, ulong key, int* next, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
            {
                float* x = scores + (long)row * vocabulary;
                (_, int token) = GumbelMax.Draw(new ScoreRow(x, vocabulary), 0, 1, key, streams[row], positions[row], isGreedy: false);
                next[row] = token >= 0 ? token : GumbelMax.FirstLegal(x, vocabulary);
            }
        }
    }
}
