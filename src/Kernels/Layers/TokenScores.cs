using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Scores of tokens against a frozen table: y[m, a] = x[m / K, a] · table[tokens[m]] + bias[m / K, a]. The end of the
    /// shared-trunk head (method notes §2.3): x is what it makes of a prefix, the table holds π_ref's own token embeddings,
    /// so K candidates cost K·A dot products and no weights of their own.
    /// </summary>
    /// <param name="x">[M/K, A·C].</param>
    /// <param name="bias">[M/K, A], of x's type.</param>
    /// <param name="table">[V, C], F32 or BF16.</param>
    /// <param name="tokens">[M] I32, each in [0, V).</param>
    /// <param name="y">[M, A], F32 whatever x is: logits.</param>
    public void TokenScores(Tensor x, Tensor bias, Tensor table, Tensor tokens, Tensor y)
    {
        TokenScoreSizes sizes = ScoreSizes(x, bias, table, tokens, y);
        if (sizes.Tokens == 0) return;
        using OpSpan traced = Traced(x, table, tokens);
        TokenScoresCore(x, bias, table, tokens, y, sizes);
    }

    /// <summary>Writes dx and dBias; the table is frozen. Several tokens of one prefix add up.</summary>
    /// <param name="dy">[M, A], F32.</param>
    /// <param name="dx">[M/K, A·C].</param>
    /// <param name="dBias">[M/K, A], of dx's type.</param>
    public void TokenScoresBackward(Tensor dy, Tensor table, Tensor tokens, Tensor dx, Tensor dBias)
    {
        TokenScoreSizes sizes = ScoreSizes(dx, dBias, table, tokens, dy);
        if (sizes.Tokens == 0) return;
        using OpSpan traced = Traced(dy, table, tokens);
        TokenScoresBackwardCore(dy, table, tokens, dx, dBias, sizes);
    }

    private TokenScoreSizes ScoreSizes(Tensor x, Tensor bias, Tensor table, Tensor tokens, Tensor y)
    {
        int width = table.Shape.Last, count = (int)tokens.Count, rows = x.Shape.Rows, atoms = y.Shape.Last;
        Require(tokens, count, DType.I32);
        Require(x, rows, atoms * width, TypeOf(x));
        Require(bias, rows, atoms, TypeOf(x));
        RequireWeight(table, table.Shape.Rows, width);
        Require(rows == 0 ? count == 0 : count % rows == 0, $"{count} tokens do not divide among {rows} rows.");
        Require(y, count, atoms);
        return new TokenScoreSizes(count, rows == 0 ? 1 : count / rows, atoms, width);
    }

    private protected abstract void TokenScoresCore(Tensor x, Tensor bias, Tensor table, Tensor tokens, Tensor y, TokenScoreSizes sizes);

    private protected abstract void TokenScoresBackwardCore(Tensor dy, Tensor table, Tensor tokens, Tensor dx, Tensor dBias, TokenScoreSizes sizes);
}

/// <summary>M tokens, K of them a prefix; A atoms; C.</summary>
internal readonly record struct TokenScoreSizes(int Tokens, int PerRow, int Atoms, int Width);

public sealed unsafe partial class CpuOps
{
    private protected override void TokenScoresCore(Tensor x, Tensor bias, Tensor table, Tensor tokens, Tensor y, TokenScoreSizes sizes)
    {
        RequireRows(tokens, table.Shape.Rows, nameof(TokenScores), "token");
        if (table.DType == DType.BF16) Scores((BF16Element*)table.Address);
        else Scores((F32Element*)table.Address);

        void Scores<TElement>(TElement* rows) where TElement : unmanaged, IElement<TElement> =>
            _workers.For(sizes.Tokens, Grain((long)sizes.Atoms * sizes.Width), new TokenScoresWork<TElement>(
                x.Floats(), bias.Floats(), rows, tokens.Ints(), y.Floats(), sizes));
    }

    private protected override void TokenScoresBackwardCore(Tensor dy, Tensor table, Tensor tokens, Tensor dx, Tensor dBias, TokenScoreSizes sizes)
    {
        RequireRows(tokens, table.Shape.Rows, nameof(TokenScoresBackward), "token");
        if (table.DType == DType.BF16) Gradients((BF16Element*)table.Address);
        else Gradients((F32Element*)table.Address);

        void Gradients<TElement>(TElement* rows) where TElement : unmanaged, IElement<TElement> =>
            _workers.For(sizes.Tokens / sizes.PerRow, Grain((long)sizes.PerRow * sizes.Atoms * sizes.Width), new TokenScoresBackwardWork<TElement>(
                dy.Floats(), rows, tokens.Ints(), dx.Floats(), dBias.Floats(), sizes));
    }

    /// <summary>One item is a token.</summary>
    private readonly struct TokenScoresWork<TElement>(float* x, float* bias, TElement* table, int* tokens, float* y, TokenScoreSizes sizes) : IWork
        where TElement : unmanaged, IElement<TElement>
    {
        public void Run(int begin, int end, int worker)
        {
            for (int m = begin; m < end; m++)
            {
                TElement* row = table + (long)tokens[m] * sizes.Width;
                for (int a = 0; a < sizes.Atoms; a++)
                {
                    long at = (long)(m / sizes.PerRow) * sizes.Atoms + a;
                    y[(long)m * sizes.Atoms + a] = VectorMath.Dot(x + at * sizes.Width, row, sizes.Width) + bias[at];
                }
            }
        }
    }

    /// <summary>One item is a prefix.</summary>
    private readonly struct TokenScoresBackwardWork<TElement>(float* dy, TElement* table, int* tokens, float* dx, float* dBias, TokenScoreSizes sizes) : IWork
        where TElement : unmanaged, IElement<TElement>
    {
        public void Run(int begin, int end, int worker)
        {
            new Span<float>(dx + (long)begin * sizes.Atoms * sizes.Width, (end - begin) * sizes.Atoms * sizes.Width).Clear();
            new Span<float>(dBias + (long)begin * sizes.Atoms, (end - begin) * sizes.Atoms).Clear();
            for (int m = begin * sizes.PerRow; m < end * sizes.PerRow; m++)
            {
                TElement* row = table + (long)tokens[m] * sizes.Width;
                for (int a = 0; a < sizes.Atoms; a++)
                {
                    long at = (long)(m / sizes.PerRow) * sizes.Atoms + a;
                    float g = dy[(long)m * sizes.Atoms + a];
                    dBias[at] += g;
                    float* to = dx + at * sizes.Width;
                    for (int c = 0; c < sizes.Width; c++) to[c] += g * TElement.Load(row + c);
                }
            }
        }
    }
}
