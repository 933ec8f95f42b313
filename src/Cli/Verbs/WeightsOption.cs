using System.CommandLine;

using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>--weights.</summary>
internal sealed class WeightsOption
{
    private readonly Option<string> _option = OptionFactory.Choice(
        "--weights", "How the model's matrices are held in memory, arithmetic is fp32 in any case; auto: as BF16 where the file has BF16 or quantised blocks.",
        "auto", "auto", "f32", "bf16");

    public WeightsOption(Command verb)
    {
        verb.Options.Add(_option);
    }

    public WeightFormat Value(ParseResult parsed) => parsed.GetValue(_option) switch
    {
        "f32" => WeightFormat.F32,
        "bf16" => WeightFormat.BF16,
        _ => WeightFormat.Auto,
    };
}
