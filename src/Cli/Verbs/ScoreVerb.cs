using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Log-probabilities of given texts.</summary>
internal static class ScoreVerb
{
    public static Command Create()
    {
        Command verb = new("score", "Log-probabilities of a given text, token by token, and the likeliest next tokens.");
        Option<string?> model = OptionFactory.RequiredText("--model", "The model: a folder, a GGUF file, or org/name from the local hub cache.");
        Option<string?> text = OptionFactory.OptionalText("--text", "The text.");
        Option<string?> file = OptionFactory.OptionalText("--file", "A JSON file with a list of texts; each gives a result.");
        Option<int> top = OptionFactory.Integer("--top", "How many of the likeliest next tokens are shown.", 5, 1);
        foreach (Option option in (Option[])[model, text, file, top]) verb.Options.Add(option);
        WeightsOption weights = new(verb);
        CommonOptions common = new(verb, hasRun: false);
        verb.SetAction((parsed, stop) =>
        {
            string[] texts = TextInput.Read(parsed.GetValue(text), "--text", parsed.GetValue(file));
            IProgressSink progress = common.Progress(parsed);
            (Device device, Ops ops) = common.Open(parsed);
            using Device owned = device;
            using ModelFiles files = ModelFiles.Open(parsed.GetValue(model)!);
            using LanguageModel loaded = files.LoadLanguageModel(ops, weights.Value(parsed));
            using Scorer scorer = new(loaded, parsed.GetValue(top));
            foreach (string each in texts)
            {
                stop.ThrowIfCancellationRequested();
                int[] ids = files.Tokenizer.Encode(each);
                ContextNote.SayOfText(progress, ids.Length, loaded.Config);
                Score score = scorer.Score(ids);
                if (common.Json(parsed)) Console.Out.WriteLine(Json(ids, score).ToJsonString());
                else Print(ids, score, files.Tokenizer);
            }
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    private static JsonObject Json(int[] ids, Score score) => new()
    {
        ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]),
        ["token_logprobs"] = new JsonArray([null, .. score.LogProbs.Select(value => (JsonNode)value)]),
        ["sequence_logprob"] = score.Total,
        ["last_top"] = new JsonArray([.. score.LastTop.Select(entry => new JsonArray(entry.Id, entry.LogProb))]),
    };

    private static void Print(int[] ids, Score score, Tokenizer tokenizer)
    {
        List<string[]> rows = [["token", "id", "ln p"]];
        for (int i = 0; i < ids.Length; i++) rows.Add([Shown(ids[i]), Invariant(ids[i]), i == 0 ? "" : Number(score.LogProbs[i - 1])]);
        ResultTable.Print(Console.Out, rows);
        double perToken = score.LogProbs.Count == 0 ? 0 : score.Total / score.LogProbs.Count;
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"\nln p of the text: {score.Total:0.0000} nats, {perToken:0.0000} a token (perplexity {Math.Exp(-perToken):0.00})\n"));
        ResultTable.Print(Console.Out, [["next", "id", "ln p"], .. score.LastTop.Select(entry => (string[])[Shown(entry.Id), Invariant(entry.Id), Number(entry.LogProb)])]);

        string Shown(int id) => TextInput.Visible(tokenizer.Token(id) is null ? "(no token)" : tokenizer.Decode([id], skipSpecial: false));
        static string Invariant(int id) => id.ToString(CultureInfo.InvariantCulture);
        static string Number(float value) => value.ToString("0.0000", CultureInfo.InvariantCulture);
    }
}
