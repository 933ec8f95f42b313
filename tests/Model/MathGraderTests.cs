using System.Globalization;
using System.Text.Json.Nodes;

using CsCheck;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Answers against references: pairs by hand and by construction, and what must hold for any text.</summary>
public class MathGraderTests
{
    [Theory]
    [InlineData("cases.json", 30), InlineData("verified.json", 1001)]
    public void Pairs_whose_verdict_is_known_get_it_both_ways(string file, int count)
    {
        string path = Path.Combine(Repository.Root, "tests", "golden", "math-grading", file);
        JsonArray cases = JsonNode.Parse(File.ReadAllText(path))!["cases"]!.AsArray();
        Assert.Equal(count, cases.Count);
        string[] wrong = [.. cases.Select(each => ((string)each!["answer"]!, (string)each["reference"]!, (bool)each["equal"]!))
            .Where(pair => MathGrader.AreEqual(pair.Item1, pair.Item2) != pair.Item3 || MathGrader.AreEqual(pair.Item2, pair.Item1) != pair.Item3)
            .Select(pair => $"{pair.Item1} | {pair.Item2} | {pair.Item3}")];
        Assert.True(wrong.Length == 0, string.Join('\n', wrong));
    }

    [Theory]
    // Fractions and mixed numbers.
    [InlineData(@"\frac43", "4/3"), InlineData(@"\frac{270}7\text{ degrees}", @"\frac{270}{7}"), InlineData(@"1\frac{4}{5}", "9/5"), InlineData("3 1/2", "3.5")]
    [InlineData(@"-3\frac12", "-3.5"), InlineData(@"\frac 59", @"\tfrac{5}{9}"), InlineData("0.5", @"\frac12"), InlineData(@"0.\overline{3}", @"\frac13")]
    [InlineData(@"\frac{1/2}{3}", "1/6"), InlineData(@"\frac{-1}{-2}", "0.5"), InlineData("5 100/101", @"\frac{605}{101}"), InlineData("2^{-1}", "1/2")]
    // Numbers.
    [InlineData("10,\\!080", "10080"), InlineData(@"11,\! 111,\! 111,\! 100", "11111111100"), InlineData("58{,}500", "58,500"), InlineData(@"\$32,\!348", "32348")]
    [InlineData(".35625", "0.35625"), InlineData("1.6 \\times 10^3", "1600"), InlineData("1e-05", "0.00001"), InlineData("10 080", "10080"), InlineData("−3", "-3")]
    [InlineData("33\\%", "33"), InlineData("33%", "0.33"), InlineData(@"33\%", "33%"), InlineData("$5$.", "5"), InlineData(@"\boxed{5}", "5"), InlineData("2^{10}", "1024")]
    [InlineData("3!", "6"), InlineData(@"\binom{5}{2}", "10"), InlineData("10^{20}+1", "100000000000000000001"), InlineData("1,234,567", "1234567"), InlineData("= 5", "5")]
    // Units and words.
    [InlineData(@"864 \mbox{ inches}^2", "864"), InlineData(@"15\mbox{ cm}^2", "15"), InlineData("5 cm^2", "5"), InlineData(@"\$18.90", "18.9"), InlineData("12^{\\text{th}}", "12")]
    [InlineData("12th", "12"), InlineData("12^{th}", "12"), InlineData("90°", "90"), InlineData("5\\text{ miles}/\\text{hour}", "5"), InlineData("5 miles per hour", "5")]
    [InlineData(@"\text{even}", "Even"), InlineData(@"\text{(C)}", "C"), InlineData("(C)", @"\textbf{(C)}"), InlineData(@"\mathrm{(C)}", "C"), InlineData(@"\text{odd}", "odd")]
    [InlineData(@"5.4 \text{ cents}", "5.4"), InlineData("18 square units", "18"), InlineData("$5", "5"), InlineData("5 dollars", "5"), InlineData(@"\text{12 cm}", "12")]
    [InlineData("5 thousand", "5000"), InlineData(@"2\text{ dozen}", "24"), InlineData(@"\$5\text{ million dollars}", "5000000"), InlineData("$5 million", "5,000,000"), InlineData("3.5 billion", @"3.5 \times 10^9")]
    [InlineData("2 dozen eggs", "24"), InlineData("5 hundred thousand", "500,000"), InlineData("1/2 million", "500000"), InlineData(@"2\frac12\text{ trillion}", "2500000000000"), InlineData(@"\text{5 Thousand}", "5000")]
    [InlineData("3 millions", "3 million"), InlineData("5 dollars per hundred", "5"), InlineData("five thousand", "Five Thousand")]
    // Lists, sets, ±, intervals, unions, matrices.
    [InlineData("1,600", "600, 1"), InlineData(@"1\pm\sqrt{19}", @"1-\sqrt{19}, 1+\sqrt{19}"), InlineData(@"\{1,2\}", "2, 1"), InlineData("x=1, x=-2", "-2,1")]
    [InlineData("x=1 or x=-2", "1,-2"), InlineData(@"x = 1 \text{ or } x = -2", "-2,1"), InlineData("1, 2, and 3", "3,2,1"), InlineData(@"\{1\pm\sqrt5,-2\}", @"-2,1-\sqrt5,1+\sqrt5")]
    [InlineData(@"\pm 3", "3,-3"), InlineData(@"x=\pm 3", @"x=-3,x=3"), InlineData(@"\frac{1\pm\sqrt5}{2}", @"\frac{1-\sqrt5}{2},\frac{1+\sqrt5}{2}")]
    [InlineData(@"x \in [-2,7]", "[-2,7]"), InlineData(@"-2 \le x \le 7", "[-2,7]"), InlineData("x>5", @"(5,\infty)"), InlineData("5<x", @"x \in (5, \infty)")]
    [InlineData(@"(3,\infty)\cup(-\infty,2)", @"(-\infty, 2) \cup (3, \infty)"), InlineData(@"\left(\frac{3}{5},\frac{8}{3}\right]", "(0.6, 8/3]"), InlineData("(1,2),(3,4)", "(3,4), (1,2)")]
    [InlineData(@"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", @"\begin{bmatrix} -\frac{1}{3} \\ \frac23 \end{bmatrix}"), InlineData(@"\emptyset", @"\{\}"), InlineData("3:2", "3 : 2")]
    [InlineData(@"\frac{1}{2}\begin{pmatrix} 2 & 4 \end{pmatrix}", @"\begin{pmatrix} 1 & 2 \end{pmatrix}"), InlineData("(100,200)", "(100, 200)"), InlineData("10,000, 20,000", "20000, 10000")]
    [InlineData(@"\begin{array}{cc} 1 & 2 \\ 3 & 4 \end{array}", @"\begin{pmatrix} 1 & 2 \\ 3 & 4 \\ \end{pmatrix}"), InlineData("52_8", @"52_{8}"), InlineData(@"\{5\}", "5")]
    // Unions in other words.
    [InlineData("x<1 or x>2", @"(-\infty,1)\cup(2,\infty)"), InlineData(@"x \le -1 \text{ or } x \ge 5", @"x \in (-\infty,-1] \cup [5,\infty)"), InlineData(@"x<1 \lor 2<x<3", @"(2,3)\cup(-\infty,1)")]
    [InlineData(@"(-\infty,1)\text{ or }(2,\infty)", "x>2 or x<1"), InlineData("x=1 or x=3 or x>5", @"\{1,3\}\cup(5,\infty)"), InlineData("x<1, 2<x<3, or x>5", @"(-\infty,1)\cup(2,3)\cup(5,\infty)")]
    [InlineData(@"x\neq 3", @"(-\infty,3)\cup(3,\infty)"), InlineData(@"3 \ne x", "x<3 or x>3"), InlineData(@"x\neq 3", @"x-3 \ne 0"), InlineData("x<1 or x>2", "x<1, x>2")]
    [InlineData(@"(-\infty,\infty)", @"\mathbb{R}"), InlineData(@"x \in \mathbb R", @"-\infty<x<\infty"), InlineData("x ∈ R", @"(-\infty,\infty)"), InlineData("ℝ", @"\mathbb{R}"), InlineData("R", @"\mathbb{R}"), InlineData("R", @"x \in \R"), InlineData(@"\mathbb{R}^2", @"\mathbb{R}^{2}")]
    // Equations and expressions.
    [InlineData("x=5", "5"), InlineData("y = 2x + 3", "2x+3"), InlineData("y=2x+3", "2x - y + 3 = 0"), InlineData("5x - 7y + 11z + 4 = 0", "-10x+14y-22z-8=0"), InlineData("x = 10/2 = 5", "5")]
    [InlineData("f(x) = x^2", "x^2"), InlineData("(a+5)(b+2)", "ab+2a+5b+10"), InlineData(@"11\sqrt2", @"\sqrt{242}"), InlineData(@"\frac{\sqrt{21}}{5}", @"\sqrt{21}/5"), InlineData("2i+1", "1+2i")]
    [InlineData(@"\cot x", @"\frac{\cos x}{\sin x}"), InlineData(@"\sin^2 x + \cos^2 x", "1"), InlineData(@"\sin 30^\circ", "1/2"), InlineData(@"\log_2 8", "3"), InlineData(@"\ln e^2", "2")]
    [InlineData(@"e^{i\pi}", "-1"), InlineData("|x|", @"\sqrt{x^2}"), InlineData("n!", "n (n-1)!"), InlineData(@"\sqrt[3]{-8}", "-2"), InlineData("sqrt(2)/2", @"\frac{1}{\sqrt2}"), InlineData("x**2", "x^2")]
    [InlineData("2*pi", @"2\pi"), InlineData(@"\frac{x^2-1}{x-1}", "x+1"), InlineData(@"\sqrt{x}\sqrt{x}", "x"), InlineData(@"i^2", "-1"), InlineData(@"\binom{n}{2}", "n(n-1)/2"), InlineData("9^9^9^9", "9^{9^{9^9}}")]
    [InlineData(@"\frac{11+9a}{20}", "0.55+0.45a"), InlineData(@"\left[ \frac{\pi^2}{8}, \frac{5 \pi^2}{4} \right]", @"[\pi^2/8, 5\pi^2/4]"), InlineData(@"\arctan 1", @"\frac{\pi}{4}"), InlineData("x_1+x_2", "x_{2}+x_{1}")]
    public void Other_spellings_of_an_answer_are_equal_to_it(string answer, string reference)
    {
        Assert.True(MathGrader.AreEqual(answer, reference), $"{MathGrader.NormalForm(answer)} | {MathGrader.NormalForm(reference)}");
        Assert.True(MathGrader.AreEqual(reference, answer));
    }

    [Theory]
    [InlineData("1 1/2", "11/2"), InlineData("1.6e3", "1600.5"), InlineData("0.333", "1/3"), InlineData("52_8", "42"), InlineData("52_8", "52_9"), InlineData("204_5", "204"), InlineData("33%", "0.33%")]
    [InlineData("100,200", "200,100"), InlineData("(1,2)", "(2,1)"), InlineData("(1,2)", "1,2"), InlineData("(1,2)", "[1,2]"), InlineData("(1,2]", "(1,2)"), InlineData("1,2", "1,2,3"), InlineData("[1,2]", "x \\in (1,2)")]
    [InlineData("x=5", "y=5"), InlineData("x=5", "6"), InlineData("x>5", "x<5"), InlineData("x>5", "x \\ge 5"), InlineData("x < y", "y < x"), InlineData("x^2=1", "x^2=2"), InlineData("x=1", "x^2=1")]
    [InlineData("east", "seat"), InlineData(@"\text{east}", @"\text{west}"), InlineData("(C)", "(D)"), InlineData("C", "c"), InlineData("5m", "5"), InlineData("5x", "5"), InlineData("apples", "42"), InlineData("42 apples and 3 pears", "42")]
    [InlineData("5 thousand", "5 million"), InlineData(@"2\text{ dozen}", "2"), InlineData("5 million", "5"), InlineData("5 thousand", "5"), InlineData("3 hundredths", "300")]
    [InlineData(@"\begin{pmatrix} 1 & 2 \end{pmatrix}", @"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"), InlineData(@"\begin{vmatrix} 1 \end{vmatrix}", @"\begin{pmatrix} 1 \end{pmatrix}"), InlineData("|x|", "x")]
    [InlineData("x + 123456789012345678", "x + 123456789012345679"), InlineData(@"\tan 90^\circ", "1"), InlineData(@"\infty", @"-\infty"), InlineData("9^9^9^9", "9^9^9^8"), InlineData("3:2", "2:3"), InlineData("", "5")]
    [InlineData(@"\sqrt{x}", "-\\sqrt{x}"), InlineData(@"\sqrt{2}", "1.41421"), InlineData("3 5", "35"), InlineData("3 5", "15"), InlineData(@"1\pm2", "3"), InlineData(@"\frac{1}{0}", "0"), InlineData("0/0", "1")]
    [InlineData("x<1 or x>2", @"(-\infty,1]\cup(2,\infty)"), InlineData("x<1 or x>2", "y<1 or y>2"), InlineData("x>1 and x<2", @"(-\infty,2)\cup(1,\infty)"), InlineData("(1,2) or (3,4)", @"(1,2)\cup(3,4)")]
    [InlineData(@"x\neq 3", @"(-\infty,3)\cup(4,\infty)"), InlineData(@"x\neq 3", "3"), InlineData(@"\mathbb{R}", @"(0,\infty)"), InlineData(@"\mathbb{Z}", @"(-\infty,\infty)"), InlineData("x<1 or y>2", @"(-\infty,1)\cup(2,\infty)")]
    [InlineData(@"(0,1)\cup(2,3)", "(0,1)"), InlineData("pi", "3.14"), InlineData("e", "2.71828"), InlineData("x_1", "x_2"), InlineData("1:2", "1/3")]
    public void Other_answers_are_not(string answer, string reference)
    {
        Assert.False(MathGrader.AreEqual(answer, reference), $"{MathGrader.NormalForm(answer)} | {MathGrader.NormalForm(reference)}");
        Assert.False(MathGrader.AreEqual(reference, answer));
    }

    [Theory]
    [InlineData("2^{-20000}", "2^{-20001}"), InlineData("10^{-5000}", "0"), InlineData("x^{50000}", "x^{50001}"), InlineData("x^{50000}", "0"), InlineData("e^{-31}", "e^{-40}")]
    [InlineData(@"\sqrt{2}\cdot 10^{-14}", "0"), InlineData(@"\frac{\pi}{10^{15}}", @"\frac{\pi}{10^{16}}"), InlineData("e^{-2000}", "e^{-2001}"), InlineData("e^{-2000}", "0")]
    [InlineData(@"\frac{1}{e^{1000}}", "0"), InlineData("1+10^{-2500}", "1"), InlineData("0.999^{3000}", "0.999^{3000}+10^{-12}"), InlineData("10^{3000}", "10^{3000}+1")]
    [InlineData("2^{10^{20}}", "2^{10^{21}}"), InlineData("1e-2000x", "1e-1999x"), InlineData(@"\sqrt{2}\cdot 10^{-2000}", "0"), InlineData(@"(\sqrt2)^2", "2.000000000001")]
    [InlineData(@"\sqrt2-\sqrt2", "10^{-20}"), InlineData(@"e^{50}+5-e^{50}", "0"), InlineData(@"\sqrt{2}\cdot 10^{-14}", @"\sqrt{3}\cdot 10^{-14}"), InlineData("e^{-300}x", "e^{-301}x")]
    [InlineData(@"\sqrt{2}", "1.41421356237"), InlineData(@"y=x+\frac{\pi}{10^{15}}", @"y=x+\frac{\pi}{10^{12}}"), InlineData(@"\frac{1}{\sin\pi}", "0"), InlineData(@"\pi^{-500}", @"\pi^{-501}")]
    public void Tiny_and_huge_values_are_told_apart(string answer, string reference)
    {
        Assert.False(MathGrader.AreEqual(answer, reference));
        Assert.False(MathGrader.AreEqual(reference, answer));
    }

    [Theory]
    [InlineData("2^{-20000}", @"\frac{1}{2^{20000}}"), InlineData("x^{50000}", "x^{49999}x"), InlineData("10^{5000}", @"100^{2500}"), InlineData("9^{9^9}", @"3^{2 \cdot 9^9}"), InlineData("(1+x)^{900}(1-x)^{900}", "(1-x^2)^{900}")]
    [InlineData(@"\sqrt{2}-\sqrt{2}", "0"), InlineData(@"\sin(\pi)", "0"), InlineData(@"\cos\frac{\pi}{2}", "0"), InlineData(@"e^{i\pi}+1", "0"), InlineData(@"\sqrt{8}-2\sqrt2", @"\sin\pi")]
    [InlineData(@"\sin^2 x+\cos^2 x-1", "0"), InlineData(@"\sqrt{\sin\pi}", "0"), InlineData(@"\ln 1", "0"), InlineData(@"x\sqrt{12}-2x\sqrt{3}", "0"), InlineData(@"\arccos 1", "0"), InlineData(@"e^{-40}", @"\frac{1}{e^{40}}")]
    [InlineData(@"\frac{\pi}{10^{15}}", @"\pi\cdot 10^{-15}"), InlineData(@"\arcsin(\sin\frac{\pi}{2})", @"\frac{\pi}{2}"), InlineData(@"\arctan x+\arctan\frac1x", @"\frac{\pi}{2}\cdot\frac{x}{|x|}")]
    [InlineData(@"\lfloor (\sqrt3)^2 \rfloor", "3"), InlineData(@"\tanh x", @"\frac{e^{2x}-1}{e^{2x}+1}"), InlineData(@"\frac12!", @"\frac{\sqrt\pi}{2}"), InlineData(@"\sqrt{3+2\sqrt2}", @"1+\sqrt2")]
    public void Values_that_are_equal_in_spite_of_their_size_or_of_cancellation_are(string answer, string reference)
    {
        Assert.True(MathGrader.AreEqual(answer, reference), $"{MathGrader.NormalForm(answer)} | {MathGrader.NormalForm(reference)}");
        Assert.True(MathGrader.AreEqual(reference, answer));
    }

    [Fact]
    public void Every_reference_of_MATH_and_GSM8K_is_read_and_equal_to_itself()
    {
        string math = TestTokenizers.Shared("data", "math500"), gsm8k = TestTokenizers.Shared("data", "gsm8k");
        string[] references = [.. Field(math, "test.jsonl", "solution").Select(AnswerText.Boxed),
            .. Field(gsm8k, "test.jsonl", "answer").Concat(Field(gsm8k, "train.jsonl", "answer")).Select(answer => answer[(answer.LastIndexOf("####", StringComparison.Ordinal) + 5)..])];
        Assert.Equal(500 + 1319 + 7473, references.Length);
        foreach (string reference in references)
            Assert.True(reference.Length > 0 && MathGrader.AreEqual(reference + " ", reference) && MathGrader.AreEqual($"\\boxed{{ {reference}}}", $"${reference}$"), reference);

        static IEnumerable<string> Field(string folder, string file, string name) => File.ReadLines(Path.Combine(folder, file)).Select(line => (string)JsonNode.Parse(line)![name]!);
    }

    [Fact]
    public void Integers_and_fractions_are_equal_just_if_their_values_are_in_every_notation()
    {
        Gen<(int N, int D)> fraction = Gen.Select(Gen.OneOf(Gen.Int[-40, 40], Gen.Int[-3_000_000, 3_000_000]), Gen.OneOf(Gen.Const(1), Gen.Int[1, 12], Gen.Int[1, 2000]));
        Gen.Select(fraction, fraction, Gen.Int[0, 99], Gen.Int[0, 99], Gen.Bool).Sample((a, b, x, y, same) =>
        {
            if (same) b = a;
            bool equal = (long)a.N * b.D == (long)b.N * a.D;
            string left = Notation(a.N, a.D, x), right = Notation(b.N, b.D, y);
            return MathGrader.AreEqual(left, right) == equal ? true : throw new Xunit.Sdk.XunitException($"{left} | {right}");
        }, iter: 20_000);
    }

    private static string Notation(int n, int d, int which)
    {
        string sign = n < 0 ? "-" : "", m = Math.Abs((long)n).ToString(CultureInfo.InvariantCulture);
        long whole = Math.Abs((long)n) / d, rest = Math.Abs((long)n) % d;
        if (d == 1)
            return (which % 18) switch
            {
                0 => $"{n:N0}",
                1 => $"{n}.00",
                2 => $"\\boxed{{{n}}}",
                3 => $"x={n}",
                4 => $"{sign}{m}\\text{{ units}}",
                5 => $"${n}$",
                6 => $"{sign}00{m}",
                7 => $"{n:N0}".Replace(",", "{,}"),
                8 => $"{n:N0}".Replace(",", ",\\!"),
                9 => $"\\frac{{{2L * n}}}{{2}}",
                10 => $"{n}^\\circ",
                11 => $"{sign}\\${m}",
                12 => $"{n} apples",
                13 => $"{n}.",
                14 => $"{n:N0}".Replace(',', ' '),
                15 => $"({n})",
                16 => $"\\text{{{n}}}",
                _ => n.ToString(CultureInfo.InvariantCulture),
            };
        return (which % 8) switch
        {
            0 => $"{n}/{d}",
            1 => $"{sign}\\dfrac{{{m}}}{{{d}}}",
            2 when whole > 0 && rest > 0 => $"{sign}{whole}\\frac{{{rest}}}{{{d}}}",
            3 when whole > 0 && rest > 0 => $"{sign}{whole} {rest}/{d}",
            4 => $"\\frac{{{3L * n}}}{{{3L * d}}}",
            5 when m.Length == 1 && d < 10 => $"{sign}\\frac{m}{d}",
            6 when d is 2 or 4 or 5 or 8 or 10 => ((decimal)n / d).ToString(CultureInfo.InvariantCulture),
            7 => $"y = \\frac{{{n}}}{{{d}}}",
            _ => $"\\frac{{{n}}}{{{d}}}",
        };
    }

    [Fact]
    public void Any_text_is_graded_symmetrically_and_equal_to_itself_and_never_throws()
    {
        string[] parts =
        [
            "\\frac", "\\sqrt", "{", "}", "(", ")", "[", "]", "\\{", "\\}", "1", "23", "1,000", ",", ", ", ".", "x", "y", "e", "i", "\\pi", "+", "-", "*", "/", "^", "_", "=", "<", "|",
            "\\pm", "\\cup", "\\in", "\\infty", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "\\text{", "\\sin", "\\log", "!", "%", "°", "\\circ", " ", "$", "\\left", "\\right.",
            "\\boxed{", "\\boxed ", "apples", "and", "\\binom", "\\overline{", "1e3", "'", ":", "\\", "\\mathrm", "\\text", "\ud83d", "é", "²", "\0", "\\langle", "\\lfloor", "\\le", "#", "~",
        ];
        Gen<string> text = Gen.Int[0, parts.Length - 1].Array[0, 14].Select(places => string.Concat(places.Select(place => parts[place])));
        Gen.Select(text, text).Sample((a, b) =>
        {
            bool equal = MathGrader.AreEqual(a, b);
            return MathGrader.AreEqual(b, a) == equal && MathGrader.AreEqual(a, a + " ") && MathGrader.AreEqual(new string(a), a) && MathGrader.NormalForm(a) is not null;
        }, iter: 30_000);
        Gen.Select(Gen.String, Gen.String).Sample((a, b) => MathGrader.AreEqual(a, b) == MathGrader.AreEqual(b, a), iter: 5000);
    }

    [Fact]
    public void Hostile_answers_end_soon()
    {
        string[] answers =
        [
            new('{', 1 << 20), new('(', 1500), Repeat("\\boxed{", 100_000), Repeat("\\boxed ", 100_000), Repeat("\\frac", 400), Repeat("\\frac{1}{", 200), Repeat("\\sqrt", 390), "9^9^9^9^9^9", "10^{10^{10}}", "1e999999999", "9e9999",
            "99999999999!", "5" + new string('!', 1900), "((9!)!)!", "\\binom{10^9}{10^8}", Repeat("-", 1999), Repeat("x^", 990) + "x", new('9', 1999), new('1', 1 << 20), Repeat("\\text{", 330),
            Repeat("|", 1999), Repeat("\\sqrt2,", 280), Repeat("\\sin ", 390), string.Join(',', Enumerable.Range(0, 450)), Repeat("x,y,", 450), "x^{" + Repeat("(1+x)^{9}", 180) + "}", Repeat("(x+1)", 390),
            Repeat("\\pm1", 490), Repeat("\\begin{pmatrix}", 130), "0.1^{9999}", "2^{0.0000000001}", "1/" + new string('3', 1900), "\\frac{1}{10^{-9999999}}", "(-1)^{99999999999999999999}", "1.0^{999999999999}",
        ];
        using CancellationTokenSource late = new(TimeSpan.FromMinutes(3));
        foreach (string a in answers)
            foreach (string b in answers)
            {
                bool equal = MathGrader.AreEqual(a + "+1", b);
                Assert.Equal(equal, MathGrader.AreEqual(b, a + "+1"));
                Assert.False(late.IsCancellationRequested, $"{a[..Math.Min(40, a.Length)]} | {b[..Math.Min(40, b.Length)]}");
            }

        static string Repeat(string part, int count) => string.Concat(Enumerable.Repeat(part, count));
    }

    [Theory]
    [InlineData(@"So \boxed{5}, or rather \boxed{\frac{1}{2}}.", @"\frac{1}{2}"), InlineData("The answer is $\\boxed 42$.", "42"), InlineData("none", ""), InlineData(@"\boxed{5", "")]
    [InlineData(@"\boxed{5} and \boxed{6", "5"), InlineData(@"\boxed{\{1,2\}}", @"\{1,2\}"), InlineData(@"\boxed{\boxed{7}}", "7"), InlineData("\\boxed 5 is it", "5"), InlineData(@"\fbox{3}", "3"), InlineData("{ \\boxed{4}", "4")]
    public void The_last_balanced_box_is_found(string text, string expected) => Assert.Equal(expected, AnswerText.Boxed(text));

    [Theory]
    [InlineData("steps 3\n#### 1,234", "1234"), InlineData("It is 5, then -7.50 dollars.", "-7.50"), InlineData("none", ""), InlineData("#### none, but 6", "6"), InlineData("12 #### -3 apples 4", "-3")]
    public void The_number_of_a_GSM8K_answer_is_found(string text, string expected) => Assert.Equal(expected, AnswerText.Number(text));

    [Theory]
    [InlineData("1,600", "1600"), InlineData(@"3\frac12", "7/2"), InlineData("2, 1", "{1, 2}"), InlineData(@"x \in [0,1)", "x = [0, 1)"), InlineData(@"\text{Even}", "even")]
    public void Normal_forms_are_plain(string answer, string expected) => Assert.Equal(expected, MathGrader.NormalForm(answer));
}
