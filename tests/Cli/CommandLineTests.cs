using System.Text.Json;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>The surface: help, wrong input, config files. Wrong input ends with 2, one sentence, and nothing on the disk.</summary>
public class CommandLineTests
{
    private static readonly string[] _verbs = ["star-graph", "word-problems", "pretrain", "collect", "train", "evaluate", "diagnose", "generate", "score", "tokenize", "inspect", "convert", "grade", "kernel", "speed", "devices"];

    [Fact]
    public async Task Help_lists_the_verbs()
    {
        using TemporaryFolder folder = new();
        CliResult help = await CliRun.Run(folder.Path, "--help");
        Assert.Equal((0, ""), (help.ExitCode, help.Error));
        Assert.All(_verbs, verb => Assert.Contains(verb, help.Out));
        Assert.DoesNotContain('\u001b', help.Out);
    }

    [Theory]
    [InlineData("star-graph", "--graph", "--methods", "--eta", "--test-graphs", "--seed", "--out", "--config", "--json", "--quiet", "--resume", "--overwrite", "--device", "--threads")]
    [InlineData("train", "--method", "--data", "--model")]
    [InlineData("collect", "--model", "--guide", "--samples")]
    [InlineData("evaluate", "--model", "--guide", "--eta")]
    public async Task Help_of_a_verb_lists_its_options(string verb, params string[] options)
    {
        using TemporaryFolder folder = new();
        CliResult help = await CliRun.Run(folder.Path, verb, "--help");
        Assert.Equal((0, ""), (help.ExitCode, help.Error));
        Assert.All(options, option => Assert.Contains(option, help.Out));
        Assert.All(help.Out.Split('\n'), line => Assert.True(line.Split("[default: ").Length <= 2, line));
    }

    [Fact]
    public async Task Version_is_one_line()
    {
        using TemporaryFolder folder = new();
        CliResult version = await CliRun.Run(folder.Path, "--version");
        Assert.Equal((0, ""), (version.ExitCode, version.Error));
        Assert.Matches(@"^\d+\.\d+\.\d+[^\n]*\n$", version.Out);
    }

    [Fact]
    public async Task Devices_as_json_is_one_document()
    {
        using TemporaryFolder folder = new();
        CliResult devices = await CliRun.Run(folder.Path, "devices", "--json");
        Assert.Equal((0, ""), (devices.ExitCode, devices.Error));
        using JsonDocument json = JsonDocument.Parse(devices.Out);
        JsonElement cpu = json.RootElement.GetProperty("devices").EnumerateArray().First();
        Assert.Equal("cpu", cpu.GetProperty("name").GetString());
        Assert.InRange(cpu.GetProperty("processors").GetInt32(), 1, 4096);
    }

    [Theory]
    [InlineData("", "star-graph")]
    [InlineData("star-grpah", "star-grpah", "did you mean star-graph")]
    [InlineData("--jsno", "--jsno")]
    [InlineData("star-graph --grahp 2,3", "--grahp", "did you mean --graph")]
    [InlineData("grade --tsak gsm8k", "--tsak", "did you mean --task")]
    [InlineData("grade --jsno 5 5", "--jsno", "did you mean --json")]
    [InlineData("inspect --jsno full", "--jsno", "did you mean --json")]
    [InlineData("convert --overwrite=yes --what full new", "--what", "lone --")]
    [InlineData("star-graph 2,3", "2,3")]
    [InlineData("star-graph --graph 1,5", "--graph 1,5", "arms")]
    [InlineData("star-graph --graph 2,1", "--graph 2,1")]
    [InlineData("star-graph --graph 2", "--graph 2", "D,L")]
    [InlineData("star-graph --graph x", "--graph x")]
    [InlineData("star-graph --graph 2,3,4", "--graph 2,3,4")]
    [InlineData("star-graph --graph -2,3", "--graph -2,3")]
    [InlineData("star-graph --graph 99999999999,3", "--graph 99999999999,3")]
    [InlineData("star-graph --graph", "--graph")]
    [InlineData("star-graph --graph 2,3 --labels 4", "--labels 4")]
    [InlineData("star-graph --graph 2,2 --labels 3", "--labels 3")]
    [InlineData("star-graph --test-graphs 100000", "--test-graphs 100000")]
    [InlineData("star-graph --test-graphs 0", "--test-graphs 0")]
    [InlineData("star-graph --mixed-goals 1.5", "--mixed-goals 1.5")]
    [InlineData("star-graph --mixed-goals nan", "--mixed-goals nan")]
    [InlineData("star-graph --eta 0", "--eta 0", "greater than 0")]
    [InlineData("star-graph --eta -1", "--eta -1")]
    [InlineData("star-graph --eta abc", "--eta abc")]
    [InlineData("star-graph --eta 0.1,,1", "--eta 0.1,,1")]
    [InlineData("star-graph --eta nan", "--eta nan")]
    [InlineData("star-graph --seed -1", "--seed -1")]
    [InlineData("star-graph --seed 1.5", "--seed 1.5")]
    [InlineData("star-graph --seed 18446744073709551616", "--seed 18446744073709551616")]
    [InlineData("star-graph --methods reference,qshrap", "qshrap", "did you mean qsharp")]
    [InlineData("star-graph --device gpu", "--device gpu")]
    [InlineData("star-graph --threads 100000", "--threads 100000", "from 0 to 1024")]
    [InlineData("star-graph --resume", "--resume", "--out")]
    [InlineData("star-graph --out new --resume --overwrite", "--resume", "--overwrite")]
    [InlineData("star-graph --out file", "--out file")]
    [InlineData("star-graph --out file/run", "file/run")]
    [InlineData("star-graph --out ''", "--out")]
    [InlineData("star-graph --out full", "--out full", "--resume", "--overwrite")]
    [InlineData("star-graph --out full --overwrite", "full", "--overwrite")]
    [InlineData("train", "--model")]
    [InlineData("train --model none --data none", "none")]
    [InlineData("train --model full --data none", "full", "config.json")]
    [InlineData("train --model none --data none --method qsharpp", "qsharpp", "did you mean qsharp")]
    [InlineData("collect --model none", "none")]
    [InlineData("evaluate --model none", "none")]
    [InlineData("evaluate --model none --methods reference,cd", "--methods cd", "--guide")]
    [InlineData("evaluate --model none --guide none --methods reference --tilt chi2", "--tilt", "--methods")]
    [InlineData("evaluate --model none --eta 0.3", "--eta", "--guide")]
    [InlineData("evaluate --model none --candidates 5", "--candidates", "--guide")]
    [InlineData("evaluate --model none --outside min", "--outside", "--guide")]
    [InlineData("diagnose --model none --data none --order official", "--order", "--guide")]
    [InlineData("generate --model none --prompt a --candidates 5", "--candidates", "--guide")]
    [InlineData("generate --model none --prompt a --guidance naive", "--guidance", "--guide")]
    [InlineData("generate --model none --prompt a --tilt exp", "--tilt", "--guide")]
    [InlineData("generate --model none --prompt a --guide none --blocks 4,3 --outside min", "--outside", "--blocks")]
    [InlineData("evaluate --model none --trunk shared", "--trunk", "'evaluate'")]
    [InlineData("evaluate --model none --guide-steps 5", "--guide-steps", "'evaluate'")]
    [InlineData("diagnose --model none --data none --family categorical", "--family", "'diagnose'")]
    [InlineData("evaluate --model none --reference-steps 5", "--reference-steps", "'evaluate'")]
    [InlineData("evaluate --model none --task file --graph 2,3", "--graph", "--task file")]
    [InlineData("collect --model none --task word-problems --labels 9", "--labels", "--task word-problems")]
    [InlineData("evaluate --model none --max-tokens 5", "--max-tokens", "--task star-graph")]
    [InlineData("generate --model none --prompt a --temperature 1e-7", "--temperature 1e-7", "1e-6")]
    [InlineData("generate --model none --prompt a --temperature nan", "--temperature nan")]
    [InlineData("evaluate --model none --temperatures 1,1e-30", "--temperatures 1,1e-30", "1e-6")]
    [InlineData("evaluate --model none --temperatures 1e39", "--temperatures 1e39")]
    [InlineData("star-graph --epochs 3", "--epochs")]
    [InlineData("star-graph --methods reference,sft --plus-minus", "--plus-minus")]
    [InlineData("pretrain --task star-grph", "star-grph", "did you mean star-graph")]
    public async Task Wrong_input_is_one_sentence(string line, params string[] names)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "kept");
        Directory.CreateDirectory(folder["full"]);
        File.WriteAllText(folder["full", "notes"], "kept");
        string[] before = folder.Entries();
        await Refused(folder, line, names);
        Assert.Equal(before, folder.Entries());
        Assert.Equal("kept", File.ReadAllText(folder["file"]));
        Assert.Equal("kept", File.ReadAllText(folder["full", "notes"]));
    }

    [Theory]
    [InlineData("""{"grpah":"2,3"}""", "c.json", "'grpah'", "did you mean graph")]
    [InlineData("""{"config":"c.json"}""", "c.json", "'config'")]
    [InlineData("{\n  \"graph\": \"2,3\",\n  oops\n}", "c.json", "line 3")]
    [InlineData("", "c.json")]
    [InlineData("[1]", "c.json", "object")]
    [InlineData("""{"seed":1,"seed":2}""", "c.json", "seed")]
    [InlineData("""{"graph":{"arms":2}}""", "c.json", "'graph'")]
    [InlineData("""{"graph":[[2,{}]]}""", "c.json", "'graph'")]
    [InlineData("""{"graph":true}""", "c.json", "'graph'")]
    [InlineData("""{"quiet":"yes"}""", "c.json", "'quiet'", "true or false")]
    [InlineData("""{"test-graphs":"many"}""", "--test-graphs many")]
    [InlineData("""{"eta":[0.1,0]}""", "--eta 0.1,0")]
    [InlineData("""{"seed":-1}""", "--seed -1")]
    [InlineData("""{"limit":0}""", "--test-graphs 0")]
    [InlineData("""{"out":["a","b"]}""", "'out'", "one text")]
    [InlineData("""{"limti":3}""", "'limti'", "did you mean limit")]
    [InlineData("""{"limit":3,"test-graphs":3}""", "'limit' and 'test-graphs'")]
    public async Task A_wrong_config_is_one_sentence(string json, params string[] names)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["c.json"], json);
        await Refused(folder, "star-graph --config c.json", names);
        Assert.Equal(["c.json"], folder.Entries());
    }

    [Theory]
    [InlineData("none.json")]
    [InlineData(".")]
    [InlineData("''")]
    public async Task A_config_that_cannot_be_read_is_one_sentence(string path)
    {
        using TemporaryFolder folder = new();
        await Refused(folder, $"star-graph --config {path}", "--config");
        if (path == "none.json") await Refused(folder, "star-graph --config:none.json", "--config none.json");
        Assert.Empty(folder.Entries());
    }

    [Fact]
    public async Task A_config_is_used_and_the_command_line_wins()
    {
        // The wrong value tells which of the two was read, without a run.
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["c.json"], """{"$schema":"x", /* with comments */ "test-graphs": 0, "eta": [0.1, "inf"], "quiet": false, "out": null}""");
        await Refused(folder, "star-graph --config c.json", "--test-graphs 0");
        await Refused(folder, "star-graph --config c.json --test-graphs -5", "--test-graphs -5");
        await Refused(folder, "star-graph --test-graphs=-7 --config=c.json", "--test-graphs -7");
        await Refused(folder, "star-graph --limit -8 --config c.json", "--test-graphs -8");
        await Refused(folder, "star-graph --limit:-9 --config c.json", "--test-graphs -9");
        await Refused(folder, "star-graph --config c.json --test-graphs 5 --seed x", "--seed x");
    }

    private static async Task Refused(TemporaryFolder folder, string line, params string[] names)
    {
        string[] args = [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(arg => arg == "''" ? "" : arg)];
        (await CliRun.Run(folder.Path, args)).Refused(names);
    }
}
