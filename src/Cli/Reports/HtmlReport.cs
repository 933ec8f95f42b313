using System.Text;
using System.Text.Json.Nodes;
using System.Xml.Linq;

using QSharp.Model;

namespace QSharp.Cli.Reports;

/// <summary>
/// An evaluation as one HTML file that needs nothing else: tables, the picture inline, settings, and some responses of each policy.
/// Composed of XML elements, so that whatever a model wrote is shown as text.
/// </summary>
internal static class HtmlReport
{
    private const int Transcripts = 3;   // of the best and of the worst rewards each

    private const string Style = """
        body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
        table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd }
        th:first-child, td:first-child { text-align: left } td { font-variant-numeric: tabular-nums }
        pre { white-space: pre-wrap; background: #f6f6f6; padding: .75rem; margin: .25rem 0 } .prompt { color: #777 }
        svg { max-width: 100%; height: auto } summary { cursor: pointer; margin-top: .5rem } .reward { font-weight: bold }
        """;

    /// <param name="settings">What shaped the run.</param>
    /// <param name="svg">The picture; null where none was drawn.</param>
    public static void Write(string path, EvaluationReport report, JsonObject settings, string? svg)
    {
        string title = $"{report.Name}: {Path.GetFileName(report.Model.TrimEnd('/'))}{(report.Guide is null ? "" : " and its guide")}";
        XElement html = new("html",
            new XAttribute("lang", "en"),
            new XElement("head",
                new XElement("meta", new XAttribute("charset", "utf-8")),
                new XElement("meta", new XAttribute("name", "viewport"), new XAttribute("content", "width=device-width")),
                Text("title", title), new XElement("style", Style)),
            new XElement("body",
                Text("h1", title),
                Text("p", $"{report.Problems.Length} problems, {report.Results[0].Samples} responses to each. ± is the standard error over problems (of one problem over its samples; a dash where that tells nothing); gains are over the reference at the same temperature, the reference's own over the first row, problem by problem; KL is in nats a response, {(report.Results.Exists(result => result.IsDrawnByRejection) ? "estimated without bias where all tokens are drawn by rejection, else " : "")}exact in each step."),
                Table(report.Table()),
                report.Remarks().Select(line => Text("p", line)),
                svg is null ? null : new XElement("figure", XDocument.Parse(svg).Root, Text("figcaption", "Bars are 95 % intervals.")),
                Text("h2", "Responses"),
                report.Results.Select(result => Responses(report, result)),
                Text("h2", "Settings"),
                Table([["name", "value"], ["model", report.Model], ["guide", report.Guide ?? "none"],
                    .. settings.Select(each => (string[])[each.Key, each.Value is JsonValue value ? value.ToString() : each.Value?.ToJsonString() ?? ""])])));
        AtomicFile.WriteText(path, "<!DOCTYPE html>\n" + html.ToString(SaveOptions.DisableFormatting) + "\n");
    }

    private static XElement Table(List<string[]> rows) => new("table",
        new XElement("thead", new XElement("tr", rows[0].Select(cell => Text("th", cell)))),
        new XElement("tbody", rows.Skip(1).Select(row => new XElement("tr", row.Select(cell => Text("td", cell))))));

    /// <summary>The best and the worst of a policy's responses, of equal rewards the first ones.</summary>
    private static XElement Responses(EvaluationReport report, Evaluation result)
    {
        ScoredResponse[] ranked = [.. result.Responses.OrderByDescending(response => response.Reward)];
        IEnumerable<ScoredResponse> shown = ranked.Take(Transcripts).Concat(ranked.Skip(Math.Max(Transcripts, ranked.Length - Transcripts)));
        return new XElement("details",
            Text("summary", EvaluationReport.Label(result)),
            shown.Select(response => new XElement("div",
                new XElement("p", new XAttribute("class", "reward"), FormattableString.Invariant($"reward {response.Reward:0.###}, KL {response.Kl:0.00}, problem {response.Problem}")),
                new XElement("pre", new XElement("span", new XAttribute("class", "prompt"), Clean(report.Task.Text(report.Problems[response.Problem].Prompt))),
                    Clean(report.Task.Text(response.Tokens))))));
    }

    /// <summary>An element with text, and with an end tag even where the text is empty.</summary>
    private static XElement Text(string name, string text) => new(name, Clean(text));

    /// <summary>Characters that no XML can hold, such as a terminal's, become question marks.</summary>
    private static string Clean(string text)
    {
        StringBuilder clean = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            clean.Append(rune.Value is >= 0x20 and not (0xFFFE or 0xFFFF) or '\t' or '\n' ? rune.ToString() : rune.Value == '\r' ? "" : "\uFFFD");
        return clean.ToString();
    }
}
