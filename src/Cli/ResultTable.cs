namespace QSharp.Cli;

/// <summary>Rows under headings, aligned with spaces: readable on a terminal and when piped.</summary>
internal static class ResultTable
{
    /// <param name="rows">The first is the headings; the first column is aligned left, the others right.</param>
    public static void Print(TextWriter output, IReadOnlyList<string[]> rows)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        for (int r = 0; r < rows.Count; r++)
        {
            output.WriteLine(string.Join("  ", rows[r].Select((cell, column) => column == 0 ? cell.PadRight(widths[0]) : cell.PadLeft(widths[column]))).TrimEnd());
            if (r == 0) output.WriteLine(string.Join("  ", widths.Select(width => new string('-', width))));
        }
    }
}
