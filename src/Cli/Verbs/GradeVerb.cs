using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Whether an answer is equal to a reference.</summary>
internal static class GradeVerb
{
    private const string Math = "math", Gsm8K = "gsm8k";

    public static Command Create()
    {
        Command verb = new("grade", "Say whether answers are equal to their references. The exit code is 0 for each comparison that was made, equal or not.");
        Argument<string?> answer = new("ANSWER") { Description = "The answer; of a whole response, what stands in its last \\boxed{…}.", Arity = ArgumentArity.ZeroOrOne };
        Argument<string?> reference = new("REFERENCE") { Description = "What it must be equal to.", Arity = ArgumentArity.ZeroOrOne };
        Option<string> task = OptionFactory.Choice("--task", "How: as mathematics, or by GSM8K's number behind ####, or else the last.", Math, Math, Gsm8K);
        Option<string?> file = OptionFactory.OptionalText("--file", "A JSON array of objects with answer and reference; each gives a line.");
        Option<bool> json = OptionFactory.Flag("--json", "Standard output is one line of JSON for each pair.");
        verb.Arguments.Add(answer);
        verb.Arguments.Add(reference);
        foreach (Option option in (Option[])[task, file, json]) verb.Options.Add(option);
        verb.SetAction(parsed =>
        {
            bool isNumber = parsed.GetValue(task) == Gsm8K;
            foreach ((string given, string expected) in Pairs(parsed.GetValue(answer), parsed.GetValue(reference), parsed.GetValue(file)))
            {
                string left = isNumber ? AnswerText.Number(given) : given, right = isNumber ? AnswerText.Number(expected) : expected;
                Print(MathGrader.IsRight(left, right), MathGrader.NormalForm(left), MathGrader.NormalForm(right), parsed.GetValue(json));
            }
            return ExitCodes.Done;
        });
        return verb;
    }

    private static IEnumerable<(string Answer, string Reference)> Pairs(string? answer, string? reference, string? file)
    {
        if (file is null)
            return answer is not null && reference is not null ? [(answer, reference)] : throw new UserException("Give an ANSWER and a REFERENCE, or --file with a list of them.");
        if (answer is not null) throw new UserException("ANSWER and --file exclude each other; give one of them.");
        return ReadPairs(file);
    }

    private static List<(string, string)> ReadPairs(string file)
    {
        if (TextFile.Json(file) is not JsonArray pairs) throw new UserException($"{file}: this must be a JSON array of objects with answer and reference.");
        return [.. pairs.Select((pair, i) => (Field(pair, "answer", i), Field(pair, "reference", i)))];

        string Field(JsonNode? pair, string key, int at) => pair is JsonObject json && json[key] is JsonValue value && value.TryGetValue(out string? text)
            ? text
            : throw new UserException($"{file}: pair {at}: '{key}' is missing or not a text; each pair has an answer and a reference, both texts.");
    }

    private static void Print(bool equal, string answer, string reference, bool json) => Console.Out.WriteLine(json
        ? new JsonObject { ["equal"] = equal, ["answer"] = answer, ["reference"] = reference }.ToJsonString()
        : $"{(equal ? "equal" : "different")}: {TextInput.Visible(answer)} | {TextInput.Visible(reference)}");
}
