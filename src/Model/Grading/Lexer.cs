namespace QSharp.Model.Grading;

/// <summary>
/// Cuts an answer, LaTeX or plain text, into tokens. What says nothing about a value is dropped here: dollars, spacing,
/// <c>\left</c> and <c>\right</c>, sizes, fonts, currency signs, the full stop at the end.
/// </summary>
internal sealed class Lexer
{
    private readonly string _text;
    private readonly List<Token> _tokens = [];
    private int _at;
    private bool _space, _isText;

    private Lexer(string text)
    {
        _text = text;
    }

    public static Token[] Tokens(string text)
    {
        Lexer lexer = new(text);
        lexer.Run(text.Length);
        List<Token> tokens = lexer._tokens;
        while (tokens.Count > 1 && tokens[^1] is { Kind: TokenKind.Sign, Text: "." or "," or ";" or LexerNames.Or }) tokens.RemoveAt(tokens.Count - 1);
        return [.. tokens];
    }

    private void Run(int end)
    {
        while (_at < end)
        {
            char c = _text[_at];
            if (c == '\\') Command(end);
            else if (char.IsWhiteSpace(c) || c == '~') Skip(1);
            else if (char.IsAsciiDigit(c)) Add(TokenKind.Digit, LexerNames.Single(c), 1);
            else if (char.IsLetter(c) && !LexerNames.Characters.ContainsKey(c)) Letters(end);
            else if (c == ',') Comma(end, 1);
            else if (c == '{' && string.CompareOrdinal(_text, _at, "{,}", 0, 3) == 0) Comma(end, 3);
            else if (c == '*' && _at + 1 < end && _text[_at + 1] == '*') Add(TokenKind.Sign, "^", 2);
            else if ((c is '<' or '>' or '!') && _at + 1 < end && _text[_at + 1] == '=') Add(TokenKind.Command, c == '<' ? "le" : c == '>' ? "ge" : "ne", 2);
            else if (c is '$' or '£' or '€' or '¢') _at++;
            else if (LexerNames.Characters.TryGetValue(c, out string? name)) Character(name);
            else Add(TokenKind.Sign, LexerNames.Single(c), 1);
        }
    }

    private void Command(int end)
    {
        int from = _at + 1, to = from;
        while (to < end && char.IsAsciiLetter(_text[to])) to++;
        if (to == from)
        {
            char c = from < end ? _text[from] : ' ';
            if (c is '{' or '}') Add(TokenKind.Sign, c == '{' ? "\\{" : "\\}", 2);
            else if (c is '%' or '&' or '#' or '_') Add(TokenKind.Sign, LexerNames.Single(c), 2);
            else if (c == '\\') Add(TokenKind.Row, "\\\\", 2);
            else if (c == '|') Add(TokenKind.Sign, "|", 2);
            else if (c is '!' or '$' or '(' or ')' or '[' or ']') _at += 2;
            else Skip(2);   // \, \; \: and an escaped space
            return;
        }
        string name = _text[from..to];
        _at = to;
        if (LexerNames.TextCommands.Contains(name)) Text(name, end);
        else if (name is "begin" or "end") Environment(name == "begin", end);
        else if (name is "left" or "right" or "middle") SkipDot(end);
        else if (name is "quad" or "qquad" or "space" or "hspace") _space = true;
        else if (name == "mathbb" && RealsLength(end) is > 0 and var length) Add(TokenKind.Command, "reals", length);
        else if (LexerNames.Aliases.TryGetValue(name, out string? alias)) Character(alias, 0);
        else if (!LexerNames.Dropped.Contains(name)) Add(TokenKind.Command, name, 0);
    }

    /// <summary>How long the R of <c>\mathbb{R}</c> is with its braces or spaces; 0 where another letter stands there.</summary>
    private int RealsLength(int end)
    {
        ReadOnlySpan<char> rest = _text.AsSpan(_at, end - _at).TrimStart();
        int length = rest.StartsWith("{R}") ? 3 : rest.StartsWith("R") ? 1 : 0;
        return length == 0 ? 0 : end - _at - rest.Length + length;
    }

    /// <summary>The invisible bracket of <c>\left.</c></summary>
    private void SkipDot(int end)
    {
        if (_at < end && _text[_at] == '.') _at++;
    }

    /// <summary>A character or command that stands for a sign, or for a command where its name is longer than one.</summary>
    private void Character(string name, int length = 1)
    {
        if (name == "½") Fraction("12");
        else if (name is [>= '0' and <= '9', ..]) Power(name);
        else Add(name.Length == 1 ? TokenKind.Sign : TokenKind.Command, name, length);

        void Fraction(string digits)
        {
            Add(TokenKind.Command, "frac", length);
            foreach (char digit in digits) Add(TokenKind.Digit, LexerNames.Single(digit), 0);
        }

        void Power(string digit)
        {
            Add(TokenKind.Sign, "^", length);
            Add(TokenKind.Digit, digit, 0);
        }
    }

    /// <summary>A comma groups digits for certain where it is <c>{,}</c> or a negative space follows.</summary>
    private void Comma(int end, int length)
    {
        bool groups = length == 3 || string.CompareOrdinal(_text, _at + 1, "\\!", 0, 2) == 0;
        groups &= _tokens.Count > 0 && _tokens[^1].Kind == TokenKind.Digit;
        Add(groups ? TokenKind.Group : TokenKind.Sign, ",", length);
        if (!groups) return;
        while (_at < end && (char.IsWhiteSpace(_text[_at]) || string.CompareOrdinal(_text, _at, "\\!", 0, 2) == 0)) _at += _text[_at] == '\\' ? 2 : 1;
    }

    /// <summary>Letters that stand together: a known name, and, or, or so many variables.</summary>
    private void Letters(int end)
    {
        int to = _at;
        while (to < end && char.IsLetter(_text[to]) && !LexerNames.Characters.ContainsKey(_text[to])) to++;
        string run = _text[_at..to];
        if (LexerNames.Separators.TryGetValue(run, out string? separator)) Add(TokenKind.Sign, separator, run.Length);
        else if (FollowsNumber && LexerNames.Magnitude(run) is not null) Add(TokenKind.Magnitude, run, run.Length);
        else if (LexerNames.Names.TryGetValue(run, out string? name)) Add(TokenKind.Command, name, run.Length);
        else if (run.Length is > 2 and < 6 && run[^1] is 'x' or 'y' && LexerNames.Names.TryGetValue(run[..^1], out name))
        {
            Add(TokenKind.Command, name, run.Length - 1);   // sinx
            Add(TokenKind.Letter, LexerNames.Single(run[^1]), 1, 1);
        }
        else
            for (int i = 0; i < run.Length; i++) Add(TokenKind.Letter, LexerNames.Single(run[i]), 1, i == 0 ? run.Length : 0);
    }

    /// <summary>Text: "and" and "or" separate, text behind a value is its unit, and other text is read as if it stood there bare.</summary>
    private void Text(string command, int end)
    {
        while (_at < end && _text[_at] == ' ') _at++;
        if (_at >= end || _text[_at] == '\\') return;
        bool braced = _text[_at] == '{';
        int from = braced ? _at + 1 : _at, close = braced ? ClosingBrace(from, end) : _at + 1, after = braced ? Math.Min(close + 1, end) : close;
        string content = _text[from..close].Trim(' ', ',', '\n', '\t');
        if (LexerNames.Separators.TryGetValue(content, out string? separator)) AddText(TokenKind.Sign, separator);
        else if (LexerNames.Names.TryGetValue(content, out string? name)) AddText(TokenKind.Command, name);
        else if (command == "operatorname") AddText(TokenKind.Command, content);
        else if (FollowsValue && content.Length > 0 && !(command == "mathrm" && content is "i" or "e")) Unit(content);
        else
        {
            bool outer = _isText;
            (_at, _isText) = (from, true);
            Run(close);
            _isText = outer;
        }
        _at = after;

        // "million dollars" is a number's magnitude and then its unit.
        void Unit(string text)
        {
            string[] words = text.Split(' ', 2, StringSplitOptions.TrimEntries);
            bool isMagnitude = FollowsNumber && LexerNames.Magnitude(words[0]) is not null;
            AddText(isMagnitude ? TokenKind.Magnitude : TokenKind.Unit, isMagnitude ? words[0] : text);
            if (isMagnitude && words.Length > 1) Unit(words[1]);
        }

        void AddText(TokenKind kind, string text)
        {
            _space = true;
            Add(kind, text, 0);
        }
    }

    /// <summary>Where the group ends whose inside begins here.</summary>
    private int ClosingBrace(int from, int end)
    {
        int depth = 1, at = from;
        for (; at < end; at++)
        {
            if (_text[at] == '\\') at++;
            else if (_text[at] == '{') depth++;
            else if (_text[at] == '}' && --depth == 0) break;
        }
        return Math.Min(at, end);
    }

    private bool FollowsNumber => _tokens.Count > 0 && _tokens[^1] is { Kind: TokenKind.Digit or TokenKind.Magnitude } or { Kind: TokenKind.Sign, Text: ")" or "}" };

    private bool FollowsValue => _tokens.Count > 0 && _tokens[^1] is var last && last.Kind switch
    {
        TokenKind.Digit or TokenKind.Letter or TokenKind.Magnitude or TokenKind.Unit or TokenKind.Finish => true,
        TokenKind.Sign => last.Text is ")" or "]" or "}" or "\\}" or "!" or "%" or "°" or "'",
        TokenKind.Command => last.Text is "pi" or "infty" or "theta" or "alpha" or "beta",
        _ => false,
    };

    private void Environment(bool begins, int end)
    {
        int close = _at < end && _text[_at] == '{' ? _text.IndexOf('}', _at) : -1;
        if (close < 0 || close >= end)
        {
            Add(TokenKind.Command, begins ? "begin" : "end", 0);
            return;
        }
        string name = _text[(_at + 1)..close];
        Add(begins ? TokenKind.Begin : TokenKind.Finish, name, 0);
        _at = close + 1;
        if (begins && name == "array" && _at < end && _text[_at] == '{' && _text.IndexOf('}', _at) is >= 0 and var columns && columns < end) _at = columns + 1;
    }

    private void Add(TokenKind kind, string text, int length, int run = 0)
    {
        _tokens.Add(new Token(kind, text, _space, run, _isText && kind == TokenKind.Letter));
        _space = false;
        _at += length;
    }

    private void Skip(int length)
    {
        _space = true;
        _at += length;
    }
}
