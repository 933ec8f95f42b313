namespace QSharp.Cli;

/// <summary>A table whose rows appear as they come: the widths of the first columns are known ahead, those of the figures are set.</summary>
internal sealed class StreamedTable
{
    private const int FigureWidth = 12;

    private readonly TextWriter _output;
    private readonly int[] _widths;

    /// <param name="known">The first cells of every row to come; they are aligned left, all others right.</param>
    public StreamedTable(TextWriter output, IEnumerable<string[]> known, params string[] headings)
    {
        _output = output;
        string[][] cells = [.. known];
        Known = cells.Length > 0 ? cells[0].Length : 0;
        _widths = [.. headings.Select((heading, column) => column < Known ? cells.Max(row => Math.Max(row[column].Length, heading.Length)) : Math.Max(FigureWidth, heading.Length))];
        Row(headings);
        output.WriteLine(string.Join("  ", _widths.Select(width => new string('-', width))));
    }

    private int Known { get; }

    public void Row(params string[] cells)
    {
        _output.WriteLine(string.Join("  ", cells.Select((cell, column) => column < Known ? cell.PadRight(_widths[column]) : cell.PadLeft(_widths[column]))).TrimEnd());
        _output.Flush();
    }
}
