using System.Globalization;

using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Rows under headings, aligned with spaces: readable on a terminal and when piped.</summary>
internal static class ResultTable
{
    /// <summary>A standard error as a cell: a dash where it is not known.</summary>
    public static string Error(Estimate estimate) => double.IsNaN(estimate.Error) ? "–" : estimate.Error.ToString("0.000", CultureInfo.InvariantCulture);

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
