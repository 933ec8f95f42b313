namespace QSharp.Model.Grading;

/// <summary>What an answer says, as far as grading needs it.</summary>
internal abstract record Expression
{
    /// <summary>Levels below this one.</summary>
    public int Depth { get; protected init; }

    /// <summary>Whether this is one value, as opposed to a list, an interval, a relation and so on.</summary>
    public virtual bool IsScalar => true;
}

/// <summary>An exact number.</summary>
internal sealed record Number(Rational Value) : Expression;

/// <summary>A variable or a constant: x, x_1, π, e, i, ∞.</summary>
internal sealed record Symbol(string Name) : Expression
{
    public const string Pi = "π", Euler = "e", Imaginary = "i", Infinity = "∞";

    public bool IsConstant => Name is Pi or Euler or Imaginary or Infinity;
}

internal enum Operator
{
    Add, Multiply, Divide, Negate, Power, Root, Factorial, Binomial, Abs, Floor, Ceiling, Percent, PlusMinus, MinusPlus,
    Sin, Cos, Tan, Cot, Sec, Csc, Arcsin, Arccos, Arctan, Sinh, Cosh, Tanh, Ln, Log, Exp,
}

/// <summary>An operation; sums and products hold all of their terms, roots and logarithms their degree or base as second.</summary>
internal sealed record Operation : Expression
{
    public Operation(Operator kind, params Expression[] arguments)
    {
        Kind = kind;
        Arguments = arguments;
        foreach (Expression argument in arguments) Depth = Math.Max(Depth, argument.Depth + 1);
        IsScalar = Array.TrueForAll(arguments, argument => argument.IsScalar);
    }

    public Operator Kind { get; }

    public Expression[] Arguments { get; }

    public override bool IsScalar { get; }
}

/// <summary>Words: compared by their letters. Two or three bare letters may also be a product of variables.</summary>
internal sealed record Words(string Text, Expression? Product) : Expression
{
    public override bool IsScalar => false;
}

/// <summary>A tuple or an interval: in order, with its kind of brackets.</summary>
internal sealed record Sequence(char Open, char Close, Expression[] Items) : Expression
{
    public override bool IsScalar => false;
}

/// <summary>A set or a bare list: in no order.</summary>
/// <param name="IsChoice">Whether "or" stands between the items.</param>
internal sealed record Collection(Expression[] Items, bool IsChoice = false) : Expression
{
    public override bool IsScalar => false;
}

/// <summary>A union of intervals and sets, in no order.</summary>
internal sealed record Union(Expression[] Parts) : Expression
{
    public override bool IsScalar => false;
}

/// <param name="Kind">| for a determinant, else a space.</param>
internal sealed record Matrix(char Kind, Expression[][] Rows) : Expression
{
    public override bool IsScalar => false;
}

/// <summary>x = 5 or x ∈ [0, 1]: an answer with the name of what was asked for.</summary>
internal sealed record Named(Expression Name, Expression Value) : Expression
{
    public override bool IsScalar => false;
}

/// <summary>An equation or a comparison that gives no variable's value; signs are =, ≠, &lt;, ≤, ∈ and the colon of a ratio.</summary>
internal sealed record Relation(string[] Signs, Expression[] Terms) : Expression
{
    public override bool IsScalar => false;
}
