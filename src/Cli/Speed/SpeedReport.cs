using System.Globalization;
using System.Text.Json.Nodes;

namespace QSharp.Cli.Speed;

/// <summary>Figures as rows of a table and as JSON at once: each has a column's heading, a JSON name, and its digits.</summary>
internal sealed class SpeedReport(params (string Heading, string Name, string Format)[] columns)
{
    private readonly List<string[]> _rows = [[.. columns.Select(column => column.Heading)]];

    public JsonArray Results { get; } = [];

    /// <param name="figures">One for each column; NaN where there is none.</param>
    public void Add(params double[] figures)
    {
        if (figures.Length != columns.Length) throw new ArgumentException($"{figures.Length} figures do not fill {columns.Length} columns.");
        _rows.Add([.. figures.Select((figure, i) => double.IsNaN(figure) ? "-" : figure.ToString(columns[i].Format, CultureInfo.InvariantCulture))]);
        JsonObject json = [];
        for (int i = 0; i < figures.Length; i++)
            if (!double.IsNaN(figures[i])) json[columns[i].Name] = figures[i];
        Results.Add((JsonNode)json);
    }

    public void Print(TextWriter output) => ResultTable.Print(output, _rows);
}
