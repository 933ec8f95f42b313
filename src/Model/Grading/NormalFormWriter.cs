using System.Text;

namespace QSharp.Model.Grading;

/// <summary>Writes an answer in one plain spelling, for people: 7/2, {1, 2}, (0, ∞), 2*√(3).</summary>
internal static class NormalFormWriter
{
    public static string Write(Expression expression)
    {
        StringBuilder text = new();
        Write(expression, text);
        return text.ToString();
    }

    private static void Write(Expression expression, StringBuilder text)
    {
        switch (expression)
        {
            case Number number: text.Append(number.Value); break;
            case Symbol symbol: text.Append(symbol.Name); break;
            case Words words: text.Append(words.Text); break;
            case Named named:
                Write(named.Name, text);
                Write(named.Value, text.Append(" = "));
                break;
            case Relation relation:
                for (int i = 0; i < relation.Terms.Length; i++)
                {
                    if (i > 0) text.Append(' ').Append(relation.Signs[i - 1]).Append(' ');
                    Write(relation.Terms[i], text);
                }
                break;
            case Sequence sequence: List(sequence.Items, text, sequence.Open.ToString(), sequence.Close.ToString()); break;
            case Collection collection:
                // In one order, whatever the answer's.
                text.Append('{').AppendJoin(", ", collection.Items.Select(Write).Order(StringComparer.Ordinal)).Append('}');
                break;
            case Union union: text.AppendJoin(" ∪ ", union.Parts.Select(Write).Order(StringComparer.Ordinal)); break;
            case Matrix matrix: text.Append('[').AppendJoin("; ", matrix.Rows.Select(row => string.Join(", ", row.Select(Write)))).Append(']'); break;
            case Operation operation: Write(operation, text); break;
        }
    }

    private static void Write(Operation operation, StringBuilder text)
    {
        if (!HasVariable(operation) && new ExactEvaluator(0).Value(operation) is { } value)
        {
            text.Append(value).Append(operation.Kind == Operator.Percent ? "%" : "");
            return;
        }
        string? sign = operation.Kind switch
        {
            Operator.Add => " + ",
            Operator.Multiply => "*",
            Operator.Divide => "/",
            Operator.Power => "^",
            Operator.PlusMinus => " ± ",
            Operator.MinusPlus => " ∓ ",
            _ => null,
        };
        if (operation.Kind == Operator.Negate) Part(operation.Arguments[0], text.Append('-'));
        else if (sign is null) List(operation.Arguments, text.Append(operation.Kind.ToString().ToLowerInvariant()), "(", ")");
        else
            for (int i = 0; i < operation.Arguments.Length; i++) Part(operation.Arguments[i], i == 0 ? text : text.Append(sign));
    }

    private static void Part(Expression expression, StringBuilder text)
    {
        if (expression is Operation) List([expression], text, "(", ")");
        else Write(expression, text);
    }

    private static void List(Expression[] items, StringBuilder text, string open, string close)
    {
        text.Append(open);
        for (int i = 0; i < items.Length; i++) Write(items[i], i == 0 ? text : text.Append(", "));
        text.Append(close);
    }

    private static bool HasVariable(Expression expression) =>
        expression is Symbol { IsConstant: false } || (expression is Operation operation && Array.Exists(operation.Arguments, HasVariable));
}
