namespace QSharp.Model.Grading;

/// <summary>Words and characters that the lexer knows.</summary>
internal static class LexerNames
{
    private static readonly string[] _singles = [.. Enumerable.Range(0, 128).Select(c => ((char)c).ToString())];

    /// <summary>The sign that separates what stands between alternatives.</summary>
    public const string Or = "∨";

    /// <summary>Words between answers, and the sign that stands for each.</summary>
    public static Dictionary<string, string> Separators { get; } = new() { ["and"] = ",", ["And"] = ",", ["\\&"] = ",", ["or"] = Or, ["Or"] = Or };

    public static HashSet<string> TextCommands { get; } =
        ["text", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "mbox", "hbox", "mathrm", "mathbf", "mathit", "mathsf", "operatorname", "emph"];

    /// <summary>Commands that change nothing but looks; a group behind one stays.</summary>
    public static HashSet<string> Dropped { get; } =
    [
        "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr",
        "Biggl", "Biggr", "boldsymbol", "bm", "mathbb", "mathcal", "mathfrak", "mathord", "mathopen", "mathclose", "rm", "bf", "it", "hline", "boxed",
        "fbox", "color", "pounds", "euro", "thinspace", "negthinspace", "hfill", "noindent", "ensuremath",
    ];

    /// <summary>Other spellings of commands.</summary>
    public static Dictionary<string, string> Aliases { get; } = new()
    {
        ["dfrac"] = "frac",
        ["tfrac"] = "frac",
        ["cfrac"] = "frac",
        ["dbinom"] = "binom",
        ["tbinom"] = "binom",
        ["cdot"] = "*",
        ["times"] = "*",
        ["ast"] = "*",
        ["div"] = "/",
        ["lbrace"] = "\\{",
        ["rbrace"] = "\\}",
        ["lbrack"] = "[",
        ["rbrack"] = "]",
        ["lparen"] = "(",
        ["rparen"] = ")",
        ["lvert"] = "|",
        ["rvert"] = "|",
        ["vert"] = "|",
        ["mid"] = "|",
        ["circ"] = "°",
        ["degree"] = "°",
        ["percent"] = "%",
        ["leq"] = "le",
        ["leqslant"] = "le",
        ["geq"] = "ge",
        ["geqslant"] = "ge",
        ["lt"] = "<",
        ["gt"] = ">",
        ["neq"] = "ne",
        ["approx"] = "=",
        ["equiv"] = "=",
        ["varnothing"] = "emptyset",
        ["bigcup"] = "cup",
        ["colon"] = ":",
        ["prime"] = "'",
        ["varphi"] = "phi",
        ["varepsilon"] = "epsilon",
        ["land"] = ",",
        ["lor"] = Or,
        ["dots"] = "ldots",
        ["slash"] = "/",
        ["R"] = "reals",
        ["lnot"] = "neg",
    };

    /// <summary>Characters that stand for signs and commands; a digit is a power.</summary>
    public static Dictionary<char, string> Characters { get; } = new()
    {
        ['−'] = "-",
        ['–'] = "-",
        ['‐'] = "-",
        ['×'] = "*",
        ['·'] = "*",
        ['⋅'] = "*",
        ['∗'] = "*",
        ['÷'] = "/",
        ['⁄'] = "/",
        ['∕'] = "/",
        ['π'] = "pi",
        ['∞'] = "infty",
        ['√'] = "sqrt",
        ['°'] = "°",
        ['≤'] = "le",
        ['≥'] = "ge",
        ['≠'] = "ne",
        ['≈'] = "=",
        ['±'] = "pm",
        ['∓'] = "mp",
        ['∪'] = "cup",
        ['∈'] = "in",
        ['∅'] = "emptyset",
        ['θ'] = "theta",
        ['ℝ'] = "reals",
        ['½'] = "½",
        ['⁰'] = "0",
        ['¹'] = "1",
        ['²'] = "2",
        ['³'] = "3",
        ['⁴'] = "4",
        ['⁵'] = "5",
        ['⁶'] = "6",
        ['⁷'] = "7",
        ['⁸'] = "8",
        ['⁹'] = "9",
        ['⟨'] = "langle",
        ['⟩'] = "rangle",
        ['，'] = ",",
        ['％'] = "%",
        ['（'] = "(",
        ['）'] = ")",
        ['′'] = "'",
    };

    /// <summary>Bare names that plain text uses for commands.</summary>
    public static Dictionary<string, string> Names { get; } = new()
    {
        ["sin"] = "sin",
        ["cos"] = "cos",
        ["tan"] = "tan",
        ["cot"] = "cot",
        ["sec"] = "sec",
        ["csc"] = "csc",
        ["arcsin"] = "arcsin",
        ["arccos"] = "arccos",
        ["arctan"] = "arctan",
        ["asin"] = "arcsin",
        ["acos"] = "arccos",
        ["atan"] = "arctan",
        ["sinh"] = "sinh",
        ["cosh"] = "cosh",
        ["tanh"] = "tanh",
        ["log"] = "log",
        ["ln"] = "ln",
        ["exp"] = "exp",
        ["sqrt"] = "sqrt",
        ["pi"] = "pi",
        ["Pi"] = "pi",
        ["infinity"] = "infty",
        ["Infinity"] = "infty",
        ["infty"] = "infty",
        ["oo"] = "infty",
        ["inf"] = "infty",
        ["theta"] = "theta",
        ["alpha"] = "alpha",
        ["beta"] = "beta",
        ["abs"] = "abs",
    };

    /// <summary>Short units, which may stand behind a number without <c>\text</c>.</summary>
    public static HashSet<string> Units { get; } =
    [
        "cm", "mm", "km", "kg", "mg", "lb", "lbs", "oz", "ft", "in", "yd", "mi", "hr", "hrs", "min", "sec", "secs", "mph", "kph", "ml", "mL", "deg", "rad",
        "kW", "kWh", "Hz", "st", "nd", "rd", "th", "sq", "cu", "pm", "am",
    ];

    /// <summary>Words behind a number that multiply it; also in the plural.</summary>
    private static readonly Dictionary<string, long> _magnitudes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["dozen"] = 12,
        ["hundred"] = 100,
        ["thousand"] = 1000,
        ["million"] = 1_000_000,
        ["billion"] = 1_000_000_000,
        ["trillion"] = 1_000_000_000_000,
    };

    /// <summary>What a word multiplies the number before it by, or null.</summary>
    public static long? Magnitude(string word) => _magnitudes.TryGetValue(word.EndsWith('s') ? word[..^1] : word, out long factor) ? factor : null;

    /// <summary>The text of one character, without an allocation for the common ones.</summary>
    public static string Single(char c) => c < 128 ? _singles[c] : c.ToString();
}
