using System.Text.RegularExpressions;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>scripts/gpu-check runs where nobody can mend it at once, so that its commands exist is checked here.</summary>
public sealed partial class GpuCheckTests
{
    private static readonly string Script = Path.Combine(Repository.Root, "scripts", "gpu-check");

    [Fact]
    public async Task Every_command_of_the_plan_is_one_that_the_command_line_knows()
    {
        CliResult plan = await CliRun.Other("bash", [Script, "--dry-run"]);
        Assert.Equal((0, ""), (plan.ExitCode, plan.Error));
        IEnumerable<Match> matches = plan.Out.Split('\n').Select(line => Command().Match(line));
        string[] commands = [.. matches.Where(match => match.Success).Select(match => match.Groups[1].Value)];
        Assert.True(commands.Length > 20, plan.Out);
        Dictionary<string, string> help = [];
        foreach (string command in commands)
        {
            string verb = command.Split(' ')[0];
            if (!help.TryGetValue(verb, out string? text)) help[verb] = text = (await CliRun.Run(Path.GetTempPath(), verb, "--help")).Out;
            foreach (Match option in Option().Matches(command)) Assert.Matches($"(?m)^ +(--[a-z-]+, )*{option.Value}[ ,]", text);
        }
        string[] steps =
        [
            "1-card", "1-devices", "2-list", "3-operations", "3-check", "4-racecheck-operations", "5-greedy-cuda", "6-train-cuda", "7-time",
            "7-decode-naive", "8-decode-1b", "8-launches", "8-train-gpt2", "8-train-value-1b", "8-decode-8b", "8-guided-8b-1b",
        ];
        foreach (string step in steps)
            Assert.Contains($"\n{step}:", "\n" + plan.Out);
    }

    [Fact]
    public async Task A_wrong_option_ends_with_2()
    {
        CliResult refused = await CliRun.Other("bash", [Script, "--fast"]);
        refused.Refused("--fast");
    }

    [GeneratedRegex(@" qsharp (.+)$")]
    private static partial Regex Command();

    [GeneratedRegex(@"(?<= )--[a-z-]+")]
    private static partial Regex Option();
}
