using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>--rounding of the verbs that train.</summary>
internal sealed class RoundingOption
{
    private readonly Option<string> _option = OptionFactory.Choice(
        "--rounding", "How a training step rounds its F32 weights to the BF16 copies that the device computes with; stochastic: up or down by chance, right on average.",
        "nearest", "nearest", "stochastic");

    public RoundingOption(Command verb)
    {
        verb.Options.Add(_option);
    }

    /// <summary>Gives the experiment its rounding, and notes it for config.json.</summary>
    /// <exception cref="UserException">It was asked for on a device that computes with the F32 weights themselves.</exception>
    public void Apply(ParseResult parsed, Device device, Experiment experiment, JsonObject settings)
    {
        string rounding = parsed.GetValue(_option)!;
        if (device.ActivationType != DType.BF16 && parsed.IsGiven(_option))
            throw new UserException($"--rounding {rounding}: {device.Name} trains in F32 and rounds nothing; leave --rounding out, or train with --device cuda.");
        experiment.RoundsStochastically = rounding == "stochastic";
        settings["rounding"] = rounding;
    }
}
