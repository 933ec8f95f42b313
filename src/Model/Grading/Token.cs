namespace QSharp.Model.Grading;

internal enum TokenKind
{
    End, Digit, Letter,

    /// <summary>One character of punctuation, or <c>\{</c> and <c>\}</c>.</summary>
    Sign,

    /// <summary>A command or a known name, without its backslash.</summary>
    Command,

    /// <summary>The comma of <c>{,}</c> or <c>,\!</c>, which groups digits and never separates.</summary>
    Group,

    /// <summary>Text behind a value: a unit.</summary>
    Unit,

    /// <summary>A word behind a number that multiplies it, such as million.</summary>
    Magnitude,

    /// <summary>A matrix row's end.</summary>
    Row, Begin, Finish,
}

/// <param name="Text">What it is; of a matrix's begin and end the environment.</param>
/// <param name="Space">Whether white space stands before it.</param>
/// <param name="Run">Of the first of some letters that stand together: how many.</param>
/// <param name="IsText">Whether the letter comes from <c>\text</c> or its like.</param>
internal readonly record struct Token(TokenKind Kind, string Text, bool Space, int Run = 0, bool IsText = false)
{
    public bool Is(char sign) => Kind == TokenKind.Sign && Text.Length == 1 && Text[0] == sign;

    public bool Is(string sign) => Kind is TokenKind.Sign or TokenKind.Command && Text == sign;
}
