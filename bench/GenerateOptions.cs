using System.Globalization;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Bench;

/// <summary>What <see cref="GenerateBench"/> is asked for.</summary>
/// <param name="Model">A folder or a GGUF file.</param>
internal sealed record GenerateOptions(string Model, int Threads, int PromptTokens, int Tokens, int Repeats, WeightFormat Format)
{
    private const string Usage =
        "generate --model PATH [--threads N] [--prompt-tokens 64] [--tokens 128] [--repeats 5] [--weights auto|f32|bf16]";

    /// <exception cref="UserException">An option is unknown, lacks a value or has a wrong one.</exception>
    public static GenerateOptions Parse(string[] args)
    {
        GenerateOptions options = new("", Environment.ProcessorCount, 64, 128, 5, WeightFormat.Auto);
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : throw new UserException($"{args[i]} needs a value: {Usage}");
            options = args[i] switch
            {
                "--model" => options with { Model = value },
                "--threads" => options with { Threads = Number(value, 1) },
                "--prompt-tokens" => options with { PromptTokens = Number(value, 1) },
                "--tokens" => options with { Tokens = Number(value, 2) },
                "--repeats" => options with { Repeats = Number(value, 1) },
                "--weights" => options with { Format = Enum.TryParse(value, true, out WeightFormat format) ? format : throw Wrong(value) },
                _ => throw new UserException($"{args[i]} is not an option: {Usage}"),
            };
        }
        return options.Model.Length > 0 ? options : throw new UserException($"--model is missing: {Usage}");
    }

    private static int Number(string value, int least) =>
        int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number >= least ? number : throw Wrong(value);

    private static UserException Wrong(string value) => new($"{value} is not a possible value: {Usage}");
}
