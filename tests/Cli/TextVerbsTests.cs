using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>generate, score and inspect, as a user or a script calls them.</summary>
public sealed class TextVerbsTests : IDisposable
{
    private readonly TinyTextModel _model = new();
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Generated_tokens_have_the_log_probabilities_that_score_gives_them()
    {
        // With one sample and the likeliest tokens, all of the model's ids count, those without a token included.
        JsonObject made = (await Json("generate", "--prompt", "the cat", "--temperature", "0", "--max-tokens", "6", "--ignore-eos"))[0];
        int[] prompt = Ints(made["prompt_ids"]!), ids = Ints(made["ids"]!);
        Assert.Equal(0, prompt[0]);   // BOS, once
        Assert.DoesNotContain(0, prompt[1..]);
        Assert.Equal((6, "length"), (ids.Length, (string)made["finish"]!));
        Assert.Equal(0.0, (double)made["kl"]!);
        Assert.Equal(made["logprobs"]!.ToJsonString(), made["reference_logprobs"]!.ToJsonString());

        JsonObject score = (await Json("score", "--text", "the cat", "--top", "4"))[0];
        Assert.Equal(prompt, Ints(score["ids"]!));
        JsonArray values = score["token_logprobs"]!.AsArray();
        Assert.Null(values[0]);
        Assert.Equal((double)score["sequence_logprob"]!, values.Skip(1).Sum(value => (double)value!), 1e-5);
        JsonArray top = score["last_top"]!.AsArray();
        Assert.Equal(4, top.Count);
        Assert.Equal(ids[0], (int)top[0]![0]!);
        Assert.Equal((double)made["logprobs"]![0]!, (double)top[0]![1]!, 1e-5);
        Assert.True(top.Zip(top.Skip(1)).All(pair => (double)pair.First![1]! >= (double)pair.Second![1]!));
    }

    [Fact]
    public async Task Without_a_limit_a_response_fills_the_context_and_no_more()
    {
        JsonObject made = (await Json("generate", "--prompt", "the cat", "--ignore-eos"))[0];
        Assert.Equal(128, Ints(made["prompt_ids"]!).Length + Ints(made["ids"]!).Length);
        CliResult warned = await CliRun.Run(_folder.Path, ["generate", "--model", _model.Path, "--prompt", "a", "--max-tokens", "130"]);
        Assert.Equal(0, warned.ExitCode);
        Assert.Contains("context is 128", warned.Error);
    }

    /// <summary>Nothing stops there, but what comes of it is said: one token in place of a response, and figures that no training stands behind.</summary>
    [Fact]
    public async Task A_text_beyond_the_context_is_noted_by_generate_and_score()
    {
        string most = string.Concat(Enumerable.Repeat("x", 127)), more = most + "x";   // with BOS 128 tokens, and 129
        CliResult full = await CliRun.Run(_folder.Path, ["generate", "--model", _model.Path, "--prompt", most, "--json"]);
        Assert.Single(Ints(full.Json()["ids"]!));
        Assert.Contains("129 tokens, but the model's context is 128.", full.Error);
        CliResult scored = await CliRun.Run(_folder.Path, ["score", "--model", _model.Path, "--text", more, "--json"]);
        Assert.Equal(129, Ints(scored.Json()["ids"]!).Length);
        Assert.Contains("129 tokens, but the model's context is 128.", scored.Error);
        Assert.Equal("", (await CliRun.Run(_folder.Path, ["score", "--model", _model.Path, "--text", most, "--json"])).Done().Error);
    }

    [Fact]
    public async Task Ids_without_a_token_are_never_drawn()
    {
        List<JsonObject> samples = await Json("generate", "--prompt", "a", "--samples", "40", "--max-tokens", "10");
        Assert.Equal(40, samples.Count);
        Assert.All(samples, sample => Assert.All(Ints(sample["ids"]!), id => Assert.InRange(id, 0, _model.Tokens - 1)));
        // Though the model likes them best: among all of its ids one of them comes first.
        JsonObject greedy = (await Json("generate", "--prompt", "a", "--temperature", "0", "--max-tokens", "10", "--ignore-eos"))[0];
        Assert.Contains(Ints(greedy["ids"]!), id => id >= _model.Tokens);
    }

    [Fact]
    public async Task A_prompt_gets_the_same_samples_whatever_the_batch_and_their_place_in_it()
    {
        File.WriteAllText(_folder["prompts.json"], """["the cat", "a", "bcd efg hij", "a"]""");
        List<JsonObject> batch = await Json("generate", "--prompts", _folder["prompts.json"], "--samples", "2", "--max-tokens", "8", "--seed", "7", "--batch-rows", "3");
        Assert.Equal(8, batch.Count);
        List<JsonObject> alone = await Json("generate", "--prompt", "a", "--samples", "4", "--max-tokens", "8", "--seed", "7", "--threads", "1");
        Assert.Equal(alone.Select(sample => sample["ids"]!.ToJsonString()), batch.Where((_, i) => i is 2 or 3 or 6 or 7).Select(sample => sample["ids"]!.ToJsonString()));
        Assert.Equal(4, alone.Select(sample => sample["ids"]!.ToJsonString()).Distinct().Count());
        List<JsonObject> other = await Json("generate", "--prompt", "a", "--max-tokens", "8", "--seed", "8");
        Assert.NotEqual(alone[0]["ids"]!.ToJsonString(), other[0]["ids"]!.ToJsonString());
    }

    /// <summary>So many prompts that some of them share a stream of random numbers.</summary>
    [Fact]
    public async Task A_prompts_response_does_not_depend_on_the_prompts_before_it()
    {
        string[] prompts = [.. Enumerable.Range(0, 600).Select(i => $"{(char)('a' + i % 26)} {(char)('a' + i / 26)}")];
        async Task<Dictionary<string, string>> Responses(IEnumerable<string> list)
        {
            File.WriteAllText(_folder["many.json"], new JsonArray([.. list.Select(text => (JsonNode)text)]).ToJsonString());
            List<JsonObject> made = await Json("generate", "--prompts", _folder["many.json"], "--max-tokens", "8", "--ignore-eos", "--batch-rows", "128");
            return made.ToDictionary(each => each["prompt_ids"]!.ToJsonString(), each => each["ids"]!.ToJsonString());
        }

        Dictionary<string, string> there = await Responses(prompts), back = await Responses(prompts.Reverse());
        Assert.Equal(600, there.Count);
        Assert.Equal([], there.Where(each => back[each.Key] != each.Value));
    }

    [Fact]
    public async Task A_stop_text_that_is_a_special_token_ends_a_response_where_that_token_is_drawn()
    {
        List<JsonObject> samples = await Json("generate", "--prompt", "the", "--samples", "60", "--max-tokens", "40", "--ignore-eos", "--stop", "<end>", "--stop", "b");
        Assert.Equal(["eos", "stop"], samples.Select(sample => (string)sample["finish"]!).Where(finish => finish != "length").Distinct().Order());
        foreach (JsonObject sample in samples)
        {
            int[] ids = Ints(sample["ids"]!);
            Assert.Equal((string)sample["finish"]! == "eos", ids[^1] == 2);
            Assert.DoesNotContain(2, ids[..^1]);
            Assert.DoesNotContain("<", (string)sample["text"]!);
        }
        Assert.Contains(samples, sample => Ints(sample["ids"]!).Contains(1));   // the model's own end is ignored
    }

    [Fact]
    public async Task A_configs_list_of_stop_texts_is_that_of_the_command_line()
    {
        File.WriteAllText(_folder["stops.json"], """{"stop": ["b", "e"], "max-tokens": 40, "seed": 3}""");
        List<JsonObject> told = await Json("generate", "--prompt", "the", "--samples", "20", "--max-tokens", "40", "--seed", "3", "--stop", "b", "--stop", "e");
        List<JsonObject> read = await Json("generate", "--prompt", "the", "--samples", "20", "--config", "stops.json");
        Assert.Equal(told.Select(sample => (string)sample["text"]!), read.Select(sample => (string)sample["text"]!));
        Assert.Contains(read, sample => (string)sample["finish"]! == "stop");
    }

    [Fact]
    public async Task A_response_ends_at_an_end_token_or_a_stop_text_and_neither_is_part_of_its_text()
    {
        List<JsonObject> samples = await Json("generate", "--prompt", "the", "--samples", "60", "--max-tokens", "40", "--stop", "b", "--stop", "zq");
        foreach (JsonObject sample in samples)
        {
            string text = (string)sample["text"]!, finish = (string)sample["finish"]!;
            int[] ids = Ints(sample["ids"]!);
            Assert.DoesNotContain("b", text);
            Assert.DoesNotContain("<", text);
            Assert.Equal(finish == "eos", ids[^1] is 1 or 2);
            Assert.DoesNotContain(ids[..^1], id => id is 1 or 2);
            if (finish == "length") Assert.Equal(40, ids.Length);
        }
        Assert.Equal(["eos", "stop"], samples.Select(sample => (string)sample["finish"]!).Where(finish => finish != "length").Distinct().Order());
    }

    [Fact]
    public async Task A_chat_prompt_goes_through_the_template_with_one_begin_token()
    {
        JsonObject made = (await Json("generate", "--chat", "--prompt", "a cat", "--max-tokens", "1"))[0];
        JsonObject plain = (await Json("generate", "--prompt", "user a cat . bot ", "--max-tokens", "1"))[0];
        Assert.Equal(Ints(plain["prompt_ids"]!), Ints(made["prompt_ids"]!));
        Assert.Equal(1, Ints(made["prompt_ids"]!).Count(id => id == 0));
        File.WriteAllText(_folder["chat.json"], """[{"role": "user", "content": "a cat"}]""");
        JsonObject messages = (await Json("generate", "--messages", _folder["chat.json"], "--max-tokens", "1"))[0];
        Assert.Equal(Ints(made["prompt_ids"]!), Ints(messages["prompt_ids"]!));

        File.WriteAllText(_folder["system.json"], """[{"role": "system", "content": "x"}]""");
        await Refused(["generate", "--model", _model.Path, "--messages", _folder["system.json"]], "no system turn");
        using TinyTextModel plainModel = new(hasChat: false);
        await Refused(["generate", "--model", plainModel.Path, "--chat", "--prompt", "a"], "chat template");
    }

    [Fact]
    public async Task What_cannot_be_done_is_one_sentence()
    {
        string model = _model.Path;
        await Refused(["generate", "--model", model], "--prompt");
        await Refused(["generate", "--model", model, "--prompt", "a", "--prompts", "b"], "--prompt");
        await Refused(["generate", "--model", model, "--prompt", "a", "--eta", "1"], "--eta", "--guide");
        await Refused(["generate", "--model", model, "--prompt", "a", "--top-p", "0"], "--top-p");
        await Refused(["generate", "--model", model, "--prompt", "a", "--temperature", "-1"], "--temperature");
        await Refused(["generate", "--model", model, "--prompt", "a", "--guide", "none", "--candidates", "none"], "--candidates none");
        await Refused(["generate", "--model", model, "--prompt", "a", "--guide", "none", "--candidates", "4097"], "--candidates 4097", "from 1 to 4096");
        await Refused(["generate", "--model", model, "--prompts", _folder["nowhere.json"]], "nowhere.json");
        await Refused(["generate", "--model", _folder["nowhere"], "--prompt", "a"], "nowhere");
        await Refused(["generate", "--model", "someone/no-such-model", "--prompt", "a"], "someone/no-such-model", "cache");
        await Refused(["generate", "--model", model, "--guide", model, "--prompt", "a"], "value head");
        await Refused(["score", "--model", model], "--text");
        foreach (string list in (string[])["prompts", "texts"])
        {
            // The é of Latin-1, after a byte order mark, which is no mistake.
            File.WriteAllBytes(_folder[$"{list}.json"], [.. "\uFEFF[\"a\",\n \"caf"u8, 0xE9, .. "\"]"u8]);
            await Refused(list == "texts" ? ["score", "--model", model, "--file", _folder["texts.json"]] : ["generate", "--model", model, "--prompts", _folder["prompts.json"]],
                $"{list}.json", "line 2", "UTF-8");
        }
        File.WriteAllText(_folder["texts.json"], """{"no": "list"}""");
        await Refused(["score", "--model", model, "--file", _folder["texts.json"]], "texts.json");
        File.Delete(_model["tokenizer.json"]);
        await Refused(["score", "--model", model, "--text", "a"], "tokenizer.json");
    }

    [Fact]
    public async Task A_model_id_is_looked_up_in_the_hub_cache()
    {
        string snapshot = _folder[Path.Combine("models--someone--tiny", "snapshots", "abc")];
        Directory.CreateDirectory(_folder[Path.Combine("models--someone--tiny", "refs")]);
        File.WriteAllText(_folder[Path.Combine("models--someone--tiny", "refs", "main")], "abc");
        Directory.CreateDirectory(Path.GetDirectoryName(snapshot)!);
        Directory.CreateSymbolicLink(snapshot, _model.Path);
        CliResult result = await CliRun.Other("env", "HF_HUB_CACHE=" + _folder.Path, "dotnet", Path.Combine(AppContext.BaseDirectory, "qsharp.dll"),
            "score", "--model", "someone/tiny", "--text", "a cat", "--json");
        result.Done();
        Assert.Equal((await Json("score", "--text", "a cat"))[0].ToJsonString(), result.Out.TrimEnd());
    }

    [Fact]
    public async Task Score_gives_one_line_for_each_text_of_a_file()
    {
        File.WriteAllText(_folder["texts.json"], """["the cat", "", "a"]""");
        List<JsonObject> lines = await Json("score", "--file", _folder["texts.json"]);
        Assert.Equal(3, lines.Count);
        Assert.Equal([0], Ints(lines[1]["ids"]!));   // BOS alone
        Assert.Equal((await Json("score", "--text", "a"))[0].ToJsonString(), lines[2].ToJsonString());
        CliResult table = await CliRun.Run(_folder.Path, ["score", "--model", _model.Path, "--text", "the cat"]);
        Assert.Equal(0, table.ExitCode);
        Assert.Contains("perplexity", table.Out);
    }

    [Fact]
    public async Task Weights_as_BF16_change_the_figures_a_little()
    {
        JsonObject exact = (await Json("score", "--text", "the cat sat"))[0], rounded = (await Json("score", "--text", "the cat sat", "--weights", "bf16"))[0];
        double difference = Math.Abs((double)exact["sequence_logprob"]! - (double)rounded["sequence_logprob"]!);
        Assert.InRange(difference, 1e-7, 0.2);
    }

    [Fact]
    public async Task Inspect_says_what_is_there_and_what_it_takes()
    {
        JsonObject report = (await JsonOf(["inspect", _model.Path, "--context", "100", "--json"]))[0];
        Assert.True((bool)report["valid"]!);
        Assert.Equal(2, (int)report["config"]!["layers"]!);
        JsonObject tensor = report["tensors"]!.AsArray().Select(each => each!.AsObject()).First(each => (string)each["name"]! == "model.embed_tokens.weight");
        int rows = _model.Tokens + TinyTextModel.Padding;
        Assert.Equal(("F32", $"[{rows},32]", rows * 32L * 4), ((string)tensor["dtype"]!, tensor["shape"]!.ToJsonString(), (long)tensor["bytes"]!));
        Assert.Equal((long)report["parameters"]!, report["tensors"]!.AsArray().Sum(each => each!["shape"]!.AsArray().Aggregate(1L, (product, size) => product * (long)size!)));
        JsonObject memory = report["memory"]!.AsObject();
        Assert.Equal(100, (int)memory["context"]!);
        // Layers, keys and values, columns, width.
        Assert.InRange((long)memory["kv_cache_f32"]!, 2 * 2 * 100 * 16 * 4, 2 * 2 * 100 * 16 * 4 + 1024);
        Assert.InRange((long)memory["kv_cache_bf16"]!, 2 * 2 * 100 * 16 * 2, 2 * 2 * 100 * 16 * 2 + 1024);
        Assert.InRange((double)(long)memory["weights_f32"]! / (long)memory["weights_bf16"]!, 1.7, 2);
        CliResult table = await CliRun.Run(_folder.Path, ["inspect", _model.Path]);
        Assert.Contains("model.embed_tokens.weight", table.Out);

        File.WriteAllText(_folder["bad.safetensors"], "version https://git-lfs.github.com/spec/v1\n");
        await Refused(["inspect", _folder["bad.safetensors"]], "bad.safetensors", "git-LFS");
        await Refused(["inspect", _folder["nothing"]], "nothing");
        // A well-formed file of a model that cannot be run is listed all the same.
        JsonObject config = JsonNode.Parse(File.ReadAllText(_model["config.json"]))!.AsObject();
        // So is a folder whose tensors are not those of its config.
        config["num_hidden_layers"] = 5;
        File.WriteAllText(_model["config.json"], config.ToJsonString());
        JsonObject unfit = (await JsonOf(["inspect", _model.Path, "--json"]))[0];
        Assert.Contains("model.layers.2.", (string)unfit["unsupported"]!);
        Assert.Null(unfit["config"]);
        Assert.Contains("Not a model that can be run here", (await CliRun.Run(_folder.Path, ["inspect", _model.Path])).Done().Out);
        config["num_hidden_layers"] = 2;
        config["model_type"] = "mamba";
        File.WriteAllText(_model["config.json"], config.ToJsonString());
        JsonObject other = (await JsonOf(["inspect", _model.Path, "--json"]))[0];
        Assert.Contains("mamba", (string)other["unsupported"]!);
        Assert.Null(other["config"]);
    }

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }

    private Task<List<JsonObject>> Json(string verb, params string[] args) => JsonOf([verb, "--model", _model.Path, .. args, "--json", "--quiet"]);

    private async Task<List<JsonObject>> JsonOf(string[] args)
    {
        CliResult result = await CliRun.Run(_folder.Path, args);
        result.Done();
        Assert.Equal("", result.Error);
        return [.. result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())];
    }

    private async Task Refused(string[] args, params string[] names) => (await CliRun.Run(_folder.Path, [.. args])).Refused(names);

    private static int[] Ints(JsonNode array) => [.. array.AsArray().Select(item => (int)item!)];
}
