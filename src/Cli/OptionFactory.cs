using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace QSharp.Cli;

/// <summary>Several values that are written with commas between them, as the help shows them too.</summary>
internal readonly record struct CommaList<T>(T[] Values)
{
    public override string ToString() => string.Join(',', Values.Select(value => Convert.ToString(value, CultureInfo.InvariantCulture)));
}

/// <summary>Options whose values are checked while parsing, each with one sentence that says how to mend a wrong one.</summary>
internal static class OptionFactory
{
    // Bounds beyond all use, so that sums and products of such numbers stay in range.
    public const int MostTokens = 1 << 20, MostRows = 1 << 16, MostSamples = 1 << 16, MostProblems = 1 << 24, MostEpochs = 100_000, MostThreads = 1 << 10;

    public static Option<int> Integer(string name, string description, int value, int least, int most = int.MaxValue) =>
        Make(name, description, value, text =>
            int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most
                ? (number, null)
                : (0, $"{name} {text}: give a whole number {(most == int.MaxValue ? $"of at least {least}" : $"from {least} to {most}")}."));

    public static Option<ulong> Seed() => Make("--seed", "Seed of every random draw.", 1UL, text =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            ? (number, null)
            : (0UL, $"--seed {text}: give a whole number from 0 to {ulong.MaxValue}."));

    /// <summary>A finite number of at least 0.</summary>
    public static Option<float> NotNegative(string name, string description, float value) => Make(name, description, value, text =>
        float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float number) && number >= 0 && float.IsFinite(number)
            ? (number, null)
            : (0f, $"{name} {text}: give a number of at least 0."));

    /// <summary>A finite number, or none.</summary>
    public static Option<double?> OptionalNumber(string name, string description, double least) => Make<double?>(name, description, null, text =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && number >= least && double.IsFinite(number)
            ? (number, null)
            : (null, $"{name} {text}: give a number{(double.IsFinite(least) ? FormattableString.Invariant($" of at least {least}") : "")}."));

    /// <summary>A number from 0 to 1.</summary>
    public static Option<float> Share(string name, string description, float value) => Make(name, description, value, text =>
        float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float number) && number is >= 0 and <= 1
            ? (number, null)
            : (0f, $"{name} {text}: give a number from 0 to 1."));

    /// <summary>A number from 0 to 1, or none.</summary>
    public static Option<float?> OptionalShare(string name, string description) => Make<float?>(name, description, null, text =>
        float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float number) && number is >= 0 and <= 1
            ? (number, null)
            : (0f, $"{name} {text}: give a number from 0 to 1."));

    public static Option<string> Text(string name, string description, string value) => Make(name, description, value, text => (text, EmptyError(name, text)));

    public static Option<string?> OptionalText(string name, string description) => Make<string?>(name, description, null, text => (text, EmptyError(name, text)));

    /// <summary>A text that must be given.</summary>
    public static Option<string?> RequiredText(string name, string description) => new(name)
    {
        Description = description,
        HelpName = name[2..].ToUpperInvariant(),
        Required = true,   // not so where there is a default, even a null
        CustomParser = result => Parse<string?>(result, text => (text, EmptyError(name, text))),
    };

    public static Option<bool> Flag(string name, string description) => new(name) { Description = description };

    /// <summary>One of some words.</summary>
    public static Option<string> Choice(string name, string description, string value, params string[] words) =>
        Make(name, $"{description} ({string.Join(", ", words)})", value, text =>
            words.Contains(text) ? (text, null) : (text, $"{name} {text}: say one of {string.Join(", ", words)}{Nearest.Hint(text, words)}."));

    /// <summary>Several of some words, with commas.</summary>
    public static Option<CommaList<string>> Choices(string name, string description, string[] value, params string[] words) =>
        Make(name, $"{description} ({string.Join(", ", words)})", new CommaList<string>(value), text =>
        {
            string[] chosen = text.Split(',', StringSplitOptions.TrimEntries);
            string? wrong = chosen.FirstOrDefault(word => !words.Contains(word));
            return (new CommaList<string>(chosen), wrong is null ? null : $"{name} {text}: '{wrong}' is none of {string.Join(", ", words)}{Nearest.Hint(wrong, words)}.");
        });

    /// <summary>Several whole numbers of at least 1, with commas.</summary>
    public static Option<CommaList<int>> Integers(string name, string description, params int[] value) =>
        Make(name, description, new CommaList<int>(value), text =>
        {
            int[] numbers = [.. text.Split(',', StringSplitOptions.TrimEntries)
                .Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0)];
            return (new CommaList<int>(numbers), numbers.All(number => number > 0) ? null : $"{name} {text}: give whole numbers of at least 1 with commas, such as {string.Join(',', value)}.");
        });

    /// <summary>One or several η: greater than 0, inf for the reference alone.</summary>
    /// <param name="value">The default.</param>
    /// <param name="canBeNegative">Whether η may aim at low rewards.</param>
    public static Option<CommaList<double>> Etas(double value, bool canBeNegative)
    {
        string description = $"Strength of the guidance, one or more with commas: small is strong, inf is the reference alone{(canBeNegative ? NegativeEta : "")}.";
        return Make("--eta", description, new CommaList<double>([value]), text =>
        {
            double[] etas = [.. text.Split(',', StringSplitOptions.TrimEntries).Select(ReadEta)];
            return (new CommaList<double>(etas), etas.Select(eta => EtaError("--eta", text, eta, canBeNegative)).FirstOrDefault(error => error is not null));
        });
    }

    /// <summary>One η: greater than 0, inf for the reference alone.</summary>
    /// <inheritdoc cref="Etas"/>
    public static Option<double> Eta(double value, bool canBeNegative = false) =>
        Eta("--eta", $"Strength of the guidance: small is strong, inf is the reference alone{(canBeNegative ? NegativeEta : "")}.", value, canBeNegative);

    /// <inheritdoc cref="Eta(double, bool)"/>
    public static Option<double> Eta(string name, string description, double value, bool canBeNegative = false) => Make(name, description, value, text =>
        ReadEta(text) is var eta && EtaError(name, text, eta, canBeNegative) is { } error ? (0, error) : (eta, null));

    /// <summary>Logits divided by less are beyond fp32.</summary>
    private const float LeastTemperature = 1e-6f;

    /// <summary>A temperature; 0 takes the most likely token.</summary>
    public static Option<float> Temperature(float value) => Make("--temperature", "Of the reference; 0 takes the most likely token.", value, text =>
        ReadTemperature(text) is { } number ? (number, null) : (0f, TemperatureError("--temperature", text)));

    /// <summary>One or several temperatures; 0 takes the most likely token.</summary>
    public static Option<CommaList<double>> Temperatures(params double[] value) =>
        Make("--temperatures", "Of the reference, one or more with commas; 0 takes the most likely token.", new CommaList<double>(value), text =>
        {
            string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
            return Array.TrueForAll(parts, part => ReadTemperature(part) is not null)
                ? (new CommaList<double>([.. parts.Select(part => double.Parse(part, NumberStyles.Float, CultureInfo.InvariantCulture))]), null)
                : (new CommaList<double>([]), TemperatureError("--temperatures", text));
        });

    /// <summary>A text that may be given several times.</summary>
    public static Option<string[]> Texts(string name, string description) => new(name)
    {
        Description = description,
        HelpName = name[2..].ToUpperInvariant(),
        DefaultValueFactory = _ => [],
        CustomParser = result =>
        {
            string[] texts = [.. result.Tokens.Select(token => token.Value)];
            if (Array.Exists(texts, text => text.Length == 0)) result.AddError(EmptyError(name, "")!);
            return texts;
        },
    };

    /// <summary>D,L of a star graph.</summary>
    public static Option<CommaList<int>> Graph(int arms, int pathLength) =>
        Make("--graph", "G(D,L): D arms, paths of L nodes, the start included.", new CommaList<int>([arms, pathLength]), text =>
        {
            int[] sizes = [.. text.Split(',', StringSplitOptions.TrimEntries)
                .Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int size) ? size : -1)];
            string? wrong = sizes.Length != 2 || sizes.Contains(-1) ? ""
                : sizes[0] is < 2 or > 100 ? "a star graph has 2 to 100 arms; "
                : sizes[1] is < 2 or > 100 ? "a path has 2 to 100 nodes; " : null;
            return (new CommaList<int>(sizes), wrong is null ? null : $"--graph {text}: {wrong}say D,L, for example --graph 2,3.");
        });

    /// <summary>M,B of block-wise decoding; nothing by default.</summary>
    /// <param name="use">What block-wise decoding is to the verb.</param>
    public static Option<CommaList<int>?> Blocks(string use) => new("--blocks")
    {
        Description = $"M,B: {use}, M blocks of B tokens from the reference and on with the one that the guide thinks best.",
        HelpName = "M,B",
        CustomParser = result => Parse<CommaList<int>?>(result, text =>
        {
            int[] sizes = [.. text.Split(',', StringSplitOptions.TrimEntries)
                .Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int size) ? size : 0)];
            return sizes.Length == 2 && sizes.All(size => size is > 0 and <= 1 << 16)
                ? (new CommaList<int>(sizes), null)
                : (null, $"--blocks {text}: say M,B, the number of blocks and their tokens, both at least 1, for example --blocks 8,16.");
        }),
    };

    private static float? ReadTemperature(string text) =>
        float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float number) && (number is 0 or >= LeastTemperature) && float.IsFinite(number) ? number : null;

    private static string TemperatureError(string name, string text) => $"{name} {text}: a temperature is 0, for the most likely token, or at least 1e-6.";

    /// <summary>NaN where the text is no number.</summary>
    private static double ReadEta(string text) => text is "inf" or "∞" ? double.PositiveInfinity
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : double.NaN;

    private const string NegativeEta = ", and below 0 it aims at low rewards";

    private static string? EtaError(string name, string text, double eta, bool canBeNegative)
    {
        bool isInRange = eta > 0 || (canBeNegative && eta < 0 && double.IsFinite(eta));
        if (isInRange && float.IsFinite((float)(1 / eta))) return null;
        string range = isInRange ? "at least 3e-39 away from" : canBeNegative ? "a number other than" : "a number greater than";
        return $"{name} {text}: η must be {range} 0; small is strong guidance, inf is the reference alone.";
    }

    private static string? EmptyError(string name, string text) => text.Length == 0 ? $"{name}: the text after it is empty; give a name or leave the option out." : null;

    /// <param name="value">The default, which the help shows by itself.</param>
    private static Option<T> Make<T>(string name, string description, T value, Func<string, (T Value, string? Error)> parse) => new(name)
    {
        Description = description,
        HelpName = name[2..].ToUpperInvariant(),
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(result, parse),
    };

    private static T? Parse<T>(ArgumentResult result, Func<string, (T Value, string? Error)> parse)
    {
        (T parsed, string? error) = parse(result.Tokens[^1].Value);
        if (error is not null) result.AddError(error);
        return parsed;
    }
}

/// <summary>Names that were probably meant.</summary>
internal static class Nearest
{
    /// <summary>"; did you mean X" or nothing.</summary>
    public static string Hint(string word, IEnumerable<string> known) => Find(word, known) is { } near ? $"; did you mean {near}" : "";

    public static string? Find(string word, IEnumerable<string> known)
    {
        (string Word, int Distance) best = known.Select(other => (other, Distance(word, other))).DefaultIfEmpty(("", int.MaxValue)).MinBy(pair => pair.Item2);
        return best.Distance <= Math.Max(2, word.Length / 3) ? best.Word : null;
    }

    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }
        return row[^1];
    }
}
