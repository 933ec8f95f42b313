using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Text from prompts, guided or not, with exact per-token log-probabilities and KL.</summary>
internal sealed class GenerateVerb
{
    private readonly Command _verb = new("generate", "Write text, guided by a value model or not.");
    private readonly Option<string?> _model = OptionFactory.RequiredText("--model", "The reference: a folder, a GGUF file, or org/name from the local hub cache.");
    private readonly Option<string?> _guide = OptionFactory.OptionalText("--guide", "Folder of a guide for it.");
    private readonly Option<double> _eta = OptionFactory.Eta(0.1, canBeNegative: true);
    private readonly Option<string> _method = OptionFactory.Choice("--method", "How the guide tilts.", "qsharp", [.. Catalog.ValueMethods.Select(method => method.Name)]);
    private readonly Option<string?> _prompt = OptionFactory.OptionalText("--prompt", "The prompt.");
    private readonly Option<string?> _prompts = OptionFactory.OptionalText("--prompts", "A JSON file with a list of prompts.");
    private readonly Option<string?> _messages = OptionFactory.OptionalText("--messages", "A JSON file with a chat, a list of {\"role\", \"content\"}.");
    private readonly Option<bool> _chat = OptionFactory.Flag("--chat", "Each prompt is what a user says, and goes through the model's chat template.");
    private readonly Option<int> _samples = OptionFactory.Integer("--samples", "Responses to each prompt.", 1, 1, OptionFactory.MostSamples);
    private readonly Option<int> _maxTokens = OptionFactory.Integer("--max-tokens", "Most tokens of a response; less by default where the context leaves no room.", 256, 1, OptionFactory.MostTokens);
    private readonly Option<string[]> _stops = OptionFactory.Texts("--stop", "A text that ends a response; may be given several times.");
    private readonly Option<bool> _ignoreEnd = OptionFactory.Flag("--ignore-eos", "Go on after the model's end tokens, up to --max-tokens.");
    private readonly Option<int> _rows = OptionFactory.Integer("--batch-rows", "Most responses sampled side by side.", 16, 1, OptionFactory.MostRows);
    private readonly WeightsOption _weights;
    private readonly BlockOption _blocks;
    private readonly TiltOptions _tilt;
    private readonly DecodingOptions _decoding;
    private readonly CommonOptions _common;

    private GenerateVerb()
    {
        foreach (Option option in (Option[])[_model, _guide, _eta, _method, _prompt, _prompts, _messages, _chat, _samples, _maxTokens, _stops, _ignoreEnd, _rows])
            _verb.Options.Add(option);
        _tilt = new TiltOptions(_verb);
        _blocks = new BlockOption(_verb, "block-wise controlled decoding in place of a tilt");
        _weights = new WeightsOption(_verb);
        _decoding = new DecodingOptions(_verb);
        _common = new CommonOptions(_verb, hasRun: false);
        _verb.SetAction((parsed, stop) => Task.FromResult(Run(parsed, stop)));
    }

    public static Command Create() => new GenerateVerb()._verb;

    private int Run(ParseResult parsed, CancellationToken stop)
    {
        string? guideFolder = parsed.GetValue(_guide);
        Option[] guided = [_eta, _method, .. _tilt.All, .. _decoding.Guided];
        if (guideFolder is null) parsed.RequireNoGuided(guided);
        BlockSettings? blocks = _blocks.Settings(parsed, guideFolder is not null);
        if (blocks is not null && parsed.FirstGiven(guided) is { } strength)
            throw new UserException($"{strength.Name} says how a guide tilts each token, and with --blocks it chooses whole blocks; leave one of the two out.");
        ValueMethod method = Catalog.FindValueMethod(parsed.GetValue(_method)!)!;
        TiltFunction? function = _tilt.Functions(parsed, [parsed.GetValue(_eta)], parsed.IsGiven(_eta), guideFolder is not null).SingleOrDefault();
        IProgressSink progress = _common.Progress(parsed);
        using ModelFiles files = ModelFiles.Open(parsed.GetValue(_model)!);
        // The template and the tokenizer take as long to load as the weights do.
        Task<List<int[]>> prompts = Task.Run(() => Prompts(parsed, files), CancellationToken.None);
        (Device device, Ops ops) = _common.Open(parsed);
        using Device owned = device;
        using LanguageModel reference = files.LoadLanguageModel(ops, _weights.Value(parsed));
        List<int[]> ids = prompts.GetAwaiter().GetResult();

        GuideRecipe recipe = _decoding.Apply(GuideRecipe.Text, parsed);
        using IGuide? guide = guideFolder is null ? null : LoadGuide(parsed, guideFolder, files, reference, recipe, progress);
        if (function is not null) TiltOptions.Require([function], guide);
        GuidanceRule rule = guide is null || blocks is not null ? recipe.Reference
            : function is null ? recipe.With(guide).Rule(method, parsed.GetValue(_eta)) : recipe.With(guide).RuleOfWeights;
        (int[] endIds, string[] stopTexts) = Ends(parsed, files);
        GenerateSettings settings = new(
            rule, recipe.Candidates, MaxTokens(parsed, ids, reference.Config, progress), parsed.GetValue(_samples), endIds, stopTexts, _common.Seed(parsed),
            parsed.GetValue(_rows))
        {
            Function = function,
            Blocks = blocks,
        };
        using Guidance guidance = _decoding.Guidance(parsed, ops);
        TextGenerator generator = new(reference, guide, guidance, files.Tokenizer, settings);

        bool json = _common.Json(parsed), streams = !json && ids is [_] && settings.Samples == 1;
        List<Generation> results = [];
        foreach (Generation result in generator.Run(ids, streams ? Console.Out.Write : null, stop))
        {
            results.Add(result);
            if (json) Console.Out.WriteLine(Json(result).ToJsonString());
            else Console.Out.WriteLine(streams ? "" : result.Text + "\n");
        }
        progress.Note(Speed(generator) + (guide is null ? ""
            : string.Create(CultureInfo.InvariantCulture, $"; KL {(blocks is null ? "" : "at most ")}{results.Average(result => result.KlBound ?? result.Kl):0.000} nats a response")));
        if (function is not null) progress.Note(Foretelling([.. results.Select(result => result.Foretold!)]));
        return ExitCodes.Done;
    }

    /// <summary>What ends a response. A special token is no part of its text, so one that is to stop it is an end as the model's own are.</summary>
    private (int[] EndIds, string[] StopTexts) Ends(ParseResult parsed, ModelFiles files)
    {
        List<int> ids = [.. parsed.GetValue(_ignoreEnd) ? [] : files.EndIds];
        List<string> texts = [];
        foreach (string text in parsed.GetValue(_stops)!)
        {
            if (files.Tokenizer.Find(text) is { } id && files.Tokenizer.IsSpecial(id)) ids.Add(id);
            else texts.Add(text);
        }
        return ([.. ids], [.. texts]);
    }

    /// <summary>Without a number of the user's, what the context leaves room for, or one where it leaves none.</summary>
    private int MaxTokens(ParseResult parsed, List<int[]> prompts, TransformerConfig config, IProgressSink progress)
    {
        int longest = prompts.Max(prompt => prompt.Length), tokens = parsed.GetValue(_maxTokens);
        if (!parsed.IsGiven(_maxTokens)) tokens = Math.Clamp(config.Context - longest, 1, tokens);
        ContextNote.Say(progress, longest + tokens, config);
        return tokens;
    }

    private static string Speed(TextGenerator generator)
    {
        double first = generator.FirstToken.TotalSeconds, rest = generator.Elapsed.TotalSeconds - first;
        string rate = generator.Tokens < 2 ? "" : string.Create(CultureInfo.InvariantCulture, $", then {(generator.Tokens - 1) / rest:N0} a second");
        return string.Create(CultureInfo.InvariantCulture, $"{generator.Tokens} tokens: the first after {first:0.00} s{rate}");
    }

    private static string Foretelling(Foretold[] foretold)
    {
        double lambda = foretold.Average(each => each.Lambda);
        string strength = double.IsNaN(lambda) ? "" : string.Create(CultureInfo.InvariantCulture, $"mean λ {lambda:0.##}, ");
        return string.Create(CultureInfo.InvariantCulture, $"foretold at the prompt: {strength}reward {foretold.Average(each => each.Reward):0.000}, KL {foretold.Average(each => each.Kl):0.000}");
    }

    private List<int[]> Prompts(ParseResult parsed, ModelFiles files)
    {
        string? prompt = parsed.GetValue(_prompt), list = parsed.GetValue(_prompts), messages = parsed.GetValue(_messages);
        if (new[] { prompt, list, messages }.Count(text => text is not null) != 1) throw new UserException("Give one of --prompt, --prompts and --messages.");
        if (messages is not null || parsed.GetValue(_chat)) files.Chat?.Warm();   // while the tokenizer loads
        if (messages is not null) return [TextPrompts.FromMessages(ChatMessage.ReadMessages(messages), files)];
        string[] texts = prompt is not null ? [prompt] : TextInput.ReadList(list!);
        if (texts.Length == 0) throw new UserException($"{list}: there is no prompt here; give a list with at least one.");
        return parsed.GetValue(_chat)
            ? [.. texts.Select(text => TextPrompts.FromMessages([new ChatMessage("user", text)], files))]
            : [.. texts.Select(text => TextPrompts.FromText(text, files))];
    }

    private IGuide LoadGuide(ParseResult parsed, string folder, ModelFiles files, LanguageModel reference, GuideRecipe recipe, IProgressSink progress)
    {
        (IGuide guide, GuideOrigin origin) = GuideFolder.Load(reference, folder, TextTask.FingerprintOf(files.Tokenizer), Math.Min(files.Tokenizer.Count, reference.Config.Vocab));
        try
        {
            Session.Admit(guide, origin, folder, recipe, progress);
        }
        catch
        {
            guide.Dispose();
            throw;
        }
        return guide;
    }

    private static JsonObject Json(Generation result)
    {
        JsonObject json = new()
        {
            ["prompt_ids"] = Numbers(result.PromptIds),
            ["ids"] = Numbers(result.Ids),
            ["text"] = result.Text,
            ["finish"] = result.Finish switch { Finish.End => "eos", Finish.Stop => "stop", _ => "length" },
            ["logprobs"] = result.KlBound is null ? Numbers(result.LogProbs) : null,
            ["reference_logprobs"] = Numbers(result.ReferenceLogProbs),
            ["kl"] = result.KlBound is null ? result.Kl : null,
        };
        if (result.KlBound is { } bound) json["kl_bound"] = bound;
        if (result.Foretold is { } foretold) json["foretold"] = Results.Foretold(foretold);
        return json;
    }

    private static JsonArray Numbers<T>(T[] values) => new([.. values.Select(value => (JsonNode)JsonValue.Create(value)!)]);
}
