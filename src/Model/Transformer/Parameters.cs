using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Named parameters in one block of memory: matrices first, then vectors, so that one launch updates each group. Gradients
/// and the optimizer's moments have the same type and so the same layout.
/// </summary>
/// <param name="matrixType">F32; or BF16 for a model that is only read. Vectors are F32.</param>
public abstract class Parameters(DType matrixType)
{
    private readonly List<(string Name, Tensor Value, bool Decays)> _named = [];
    private long _matrixBytes, _vectorBytes;

    /// <summary>Element type of the matrices.</summary>
    public DType MatrixType => matrixType;

    /// <summary>Every matrix as one flat tensor (weight decay applies), zeros between them included.</summary>
    /// <exception cref="OverflowException">There are more than 2³¹ entries: such a model can be read but not trained.</exception>
    public Tensor Matrices => new(_named[0].Value.Buffer, 0, matrixType, checked((int)(_matrixBytes / matrixType.Size())));

    /// <summary>Every vector as one flat tensor (no weight decay).</summary>
    public Tensor Vectors => new(_named[0].Value.Buffer, _matrixBytes, DType.F32, checked((int)(_vectorBytes / sizeof(float))));

    /// <summary>All parameters of an F32 model as one flat tensor.</summary>
    public Tensor All => Matrices with { Shape = checked((int)(Matrices.Count + Vectors.Count)) };

    /// <summary>The one list of parameters for files, initial values and tests.</summary>
    public IReadOnlyList<(string Name, Tensor Value, bool Decays)> Named => _named;

    /// <summary>Number of parameters.</summary>
    public long Count => _named.Sum(parameter => parameter.Value.Count);

    /// <summary>The next matrix, out of an arena that holds nothing else.</summary>
    private protected Tensor TakeMatrix(Arena arena, string name, Shape shape)
    {
        if (_vectorBytes > 0) throw new InvalidOperationException($"The matrix {name} comes after a vector.");
        Tensor tensor = arena.Take(shape, matrixType);
        _named.Add((name, tensor, true));
        _matrixBytes = arena.Used;
        return tensor;
    }

    /// <summary>The next vector, after all matrices.</summary>
    private protected Tensor TakeVector(Arena arena, string name, int length)
    {
        Tensor tensor = arena.Take(length);
        _named.Add((name, tensor, false));
        _vectorBytes = arena.Used - _matrixBytes;
        return tensor;
    }
}
