using System.Text.Json.Nodes;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>tokenize: ids of texts and chats, text of ids.</summary>
public sealed class TokenizeTests : IDisposable
{
    private readonly TinyTextModel _model = new();
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_text_gives_ids_and_tokens_and_ids_give_the_text_back()
    {
        JsonObject made = (await Json("--text", "a cat"))[0];
        int[] ids = [.. made["ids"]!.AsArray().Select(id => (int)id!)];
        Assert.Equal(0, ids[0]);
        Assert.Equal(["<s>", "a", "Ġcat"], made["tokens"]!.AsArray().Select(token => (string)token!));
        Assert.Equal(ids[1..], (await Json("--text", "a cat", "--no-special"))[0]["ids"]!.AsArray().Select(id => (int)id!));
        string list = string.Join(' ', ids);
        Assert.Equal("<s>a cat", (string)(await Json("--decode", list))[0]["text"]!);
        Assert.Equal("a cat", (string)(await Json("--decode", list, "--no-special"))[0]["text"]!);
        Assert.Equal([0], (await Json("--text", ""))[0]["ids"]!.AsArray().Select(id => (int)id!));
        CliResult table = await CliRun.Run(_folder.Path, ["tokenize", "--model", _model.Path, "--text", "a cat"]);
        Assert.Contains("3 tokens", table.Out);
    }

    [Fact]
    public async Task A_file_gives_a_line_a_text_and_messages_the_rendered_template()
    {
        File.WriteAllText(_folder["texts.json"], """["a", "b c", ""]""");
        List<JsonObject> lines = await Json("--file", _folder["texts.json"]);
        Assert.Equal(3, lines.Count);
        Assert.Equal((await Json("--text", "b c"))[0].ToJsonString(), lines[1].ToJsonString());
        File.WriteAllText(_folder["chat.json"], """[{"role": "user", "content": "hi"}, {"role": "bot", "content": "yes"}]""");
        Assert.Equal("<s>user hi . bot yes . ", (string)(await Json("--messages", _folder["chat.json"]))[0]["text"]!);
        JsonObject prompt = (await Json("--messages", _folder["chat.json"], "--generation-prompt"))[0];
        Assert.Equal("<s>user hi . bot yes . bot ", (string)prompt["text"]!);
        Assert.Equal(1, prompt["ids"]!.AsArray().Count(id => (int)id! == 0));   // one BOS
        // A tokenizer needs no model beside it.
        Directory.CreateDirectory(_folder["alone"]);
        File.Copy(_model["tokenizer.json"], _folder["alone/tokenizer.json"]);
        CliResult alone = await CliRun.Run(_folder.Path, ["tokenize", "--model", "alone", "--text", "b c", "--json"]);
        Assert.Equal(lines[1].ToJsonString(), alone.Out.TrimEnd());
    }

    [Fact]
    public async Task What_cannot_be_done_is_one_sentence()
    {
        await Refused([], "--text");
        await Refused(["--text", "a", "--decode", "1"], "--text", "--decode");
        await Refused(["--text", "a", "--generation-prompt"], "--generation-prompt");
        await Refused(["--decode", "1 x"], "x");
        await Refused(["--messages", _folder["none.json"]], "none.json");
        File.WriteAllText(_folder["bad.json"], "{}");
        await Refused(["--file", _folder["bad.json"]], "bad.json");
        await Refused(["--messages", _folder["bad.json"]], "bad.json");
    }

    public void Dispose()
    {
        _folder.Dispose();
        _model.Dispose();
    }

    private async Task<List<JsonObject>> Json(params string[] args)
    {
        CliResult result = await CliRun.Run(_folder.Path, ["tokenize", "--model", _model.Path, .. args, "--json"]);
        result.Done();
        return [.. result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())];
    }

    private async Task Refused(string[] args, params string[] names) => (await CliRun.Run(_folder.Path, ["tokenize", "--model", _model.Path, .. args])).Refused(names);
}
