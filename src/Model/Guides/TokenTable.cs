using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// π_ref's token embeddings as a shared-trunk head learns against them (method notes §2.3): each column less its mean, divided
/// by its standard deviation and √C, so that all directions count alike; only the tokens that the data holds. A finished head is
/// folded, so that it reads the embeddings as they are.
/// </summary>
public sealed class TokenTable : IDisposable
{
    private const int BlockRows = 1024;

    private readonly DeviceBuffer _memory;
    private readonly Dictionary<int, int> _index = [];
    private readonly double[] _mean, _scale;

    /// <param name="table">[V, C].</param>
    /// <param name="tokens">Those that the data holds.</param>
    public TokenTable(Tensor table, IEnumerable<int> tokens)
    {
        int width = table.Shape.D1;
        (_mean, _scale) = Statistics(table);
        int[] used = [.. tokens.Distinct().Order()];
        float[] values = new float[used.Length * width];
        for (int i = 0; i < used.Length; i++)
        {
            _index[used[i]] = i;
            float[] row = TensorValues.Read(table.Range(used[i], 1));
            for (int c = 0; c < width; c++) values[i * width + c] = (float)((row[c] - _mean[c]) * _scale[c]);
        }
        (Rows, _memory) = Arena.Build(table.Buffer!.Device, arena => arena.Take((used.Length, width)));
        TensorValues.Write(values, Rows);
    }

    /// <summary>[tokens in the data, C] F32.</summary>
    public Tensor Rows { get; }

    /// <summary>A token's row.</summary>
    public int IndexOf(int token) => _index[token];

    /// <summary>
    /// The same head against the embeddings as they are: u·(e − μ)·s + b = (s·u)·e + (b − (s·u)·μ).
    /// </summary>
    public void Fold(Ops ops, SharedHeadWeights from, SharedHeadWeights to)
    {
        Initializer.CopyShared(ops, from, to, "query", "bias");
        float[] query = TensorValues.Read(from.Query), bias = TensorValues.Read(from.Bias);
        int width = _mean.Length, hidden = from.Query.Shape.D1, atoms = from.Bias.Shape.D0;
        for (int a = 0; a < atoms; a++)
        {
            for (int f = 0; f < hidden; f++)
            {
                double shift = 0;
                for (int c = 0; c < width; c++)
                {
                    ref float weight = ref query[((a * width) + c) * hidden + f];
                    weight = (float)(weight * _scale[c]);
                    shift += weight * _mean[c];
                }
                bias[a * hidden + f] = (float)(bias[a * hidden + f] - shift);
            }
        }
        TensorValues.Write(query, to.Query);
        TensorValues.Write(bias, to.Bias);
    }

    public void Dispose() => _memory.Dispose();

    /// <summary>Mean of each column, and 1 / (standard deviation · √C).</summary>
    private static (double[] Mean, double[] Scale) Statistics(Tensor table)
    {
        (int rows, int width) = (table.Shape.D0, table.Shape.D1);
        double[] mean = new double[width], square = new double[width];
        for (int first = 0; first < rows; first += BlockRows)
        {
            float[] block = TensorValues.Read(table.Range(first, Math.Min(BlockRows, rows - first)));
            for (int i = 0; i < block.Length; i++)
            {
                mean[i % width] += block[i];
                square[i % width] += (double)block[i] * block[i];
            }
        }
        double[] scale = new double[width];
        for (int c = 0; c < width; c++)
        {
            mean[c] /= rows;
            double variance = square[c] / rows - mean[c] * mean[c];
            scale[c] = variance > 0 ? 1 / Math.Sqrt(variance * width) : 0;
        }
        return (mean, scale);
    }
}
