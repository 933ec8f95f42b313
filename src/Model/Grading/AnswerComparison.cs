namespace QSharp.Model.Grading;

/// <summary>Whether two answers say the same: the kinds of structure, down to their values.</summary>
internal sealed class AnswerComparison
{
    /// <summary>Comparisons of values after which two answers are taken to differ; real ones need a few dozen.</summary>
    private int _left = 5000;

    public bool Equal(Expression a, Expression b)
    {
        if (a.IsScalar && b.IsScalar) return _left-- > 0 && ScalarComparison.Equal(a, b);
        if (Relations.AsUnion(a) is { } one && Relations.AsUnion(b) is { } other)
            return (one.Name is null || other.Name is null || Equal(one.Name, other.Name)) && SameSet(one.Parts, other.Parts);
        if (a is Named or Relation || b is Named or Relation) return Related(a, b);
        if (a is Collection || b is Collection) return SameSet(Items(a), Items(b));
        return (a, b) switch
        {
            (Words x, Words y) => x.Text == y.Text || (x.Product is { } p && y.Product is { } q && Equal(p, q)),
            (Words { Product: { } product }, _) => Equal(product, b),
            (_, Words { Product: { } product }) => Equal(a, product),
            (Symbol { Name: "R" }, Sequence y) => Equal(Relations.Reals, y),   // plain text's ℝ
            (Sequence x, Symbol { Name: "R" }) => Equal(x, Relations.Reals),
            (Sequence x, Sequence y) => x.Open == y.Open && x.Close == y.Close && SameList(x.Items, y.Items),
            (Matrix x, Matrix y) => x.Kind == y.Kind && x.Rows.Length == y.Rows.Length && x.Rows.Zip(y.Rows).All(rows => SameList(rows.First, rows.Second)),
            (Operation x, Operation y) => x.Kind == y.Kind && SameList(x.Arguments, y.Arguments),
            _ => false,
        };
    }

    /// <summary>A set of one is its element.</summary>
    private static Expression[] Items(Expression expression) => expression is Collection collection ? collection.Items : [expression];

    private bool SameList(Expression[] a, Expression[] b)
    {
        if (a.Length != b.Length) return false;
        for (int i = 0; i < a.Length; i++)
            if (!Equal(a[i], b[i])) return false;
        return true;
    }

    /// <summary>Each element of either is in the other. The same order, which is common, is looked at first.</summary>
    private bool SameSet(Expression[] a, Expression[] b)
    {
        if (a.Length == 1 && b.Length == 1 && a[0] is not Collection && b[0] is not Collection) return Equal(a[0], b[0]);
        return IsSubset(a, b) && IsSubset(b, a);
    }

    private bool IsSubset(Expression[] a, Expression[] b)
    {
        for (int i = 0; i < a.Length; i++)
        {
            bool found = i < b.Length && Equal(a[i], b[i]);
            for (int j = 0; j < b.Length && !found; j++) found = _left > 0 && j != i && Equal(a[i], b[j]);
            if (!found) return false;
        }
        return true;
    }

    /// <summary>A name that only one side gives says nothing; equations are the same where one is a multiple of the other.</summary>
    private bool Related(Expression a, Expression b)
    {
        if (a is Named one && b is Named other && Equal(one.Name, other.Name) && Equal(one.Value, other.Value)) return true;
        if (a is Named named && b is not (Named or Relation)) return Equal(named.Value, b);
        if (b is Named && a is not (Named or Relation)) return Related(b, a);
        if (Relations.AsRelation(a) is not { } x || Relations.AsRelation(b) is not { } y || !x.Signs.AsSpan().SequenceEqual(y.Signs)) return false;
        if (SameList(x.Terms, y.Terms)) return true;
        if (x.Signs.Length > 1 || x.Signs[0] is "in" or ":" || !Array.TrueForAll([.. x.Terms, .. y.Terms], term => term.IsScalar)) return false;
        return _left-- > 0 && HasVariable(x) && HasVariable(y) && ScalarComparison.Proportional(Difference(x), Difference(y), positive: x.Signs[0] is "<" or "le");
    }

    private static Operation Difference(Relation relation) => new(Operator.Add, relation.Terms[0], new Operation(Operator.Negate, relation.Terms[1]));

    private static bool HasVariable(Relation relation) => Array.Exists(relation.Terms, HasVariable);

    private static bool HasVariable(Expression expression) => expression switch
    {
        Symbol symbol => !symbol.IsConstant,
        Operation operation => Array.Exists(operation.Arguments, HasVariable),
        _ => false,
    };
}
