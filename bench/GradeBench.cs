using System.Diagnostics;
using System.Globalization;

using QSharp.Model;

namespace QSharp.Bench;

/// <summary><c>dotnet run -c Release --project bench -- grade</c>: pairs a second that the grader decides on one thread, by kind.</summary>
internal static class GradeBench
{
    private const double Seconds = 1;

    private static readonly (string Kind, string Answer, string Reference)[] _pairs =
    [
        ("integers", "42", "43"), ("thousands", "1,600", "1600"), ("fractions", @"\frac{2}{4}", @"\dfrac12"), ("units", @"15\text{ cm}^2", "15"), ("text", @"\text{Evelyn}", "Evelyn"),
        ("tuple", "(3, 4)", @"\left(3,4\right)"), ("root", @"11\sqrt{2}", @"\sqrt{242}"), ("polynomial", "(a+5)(b+2)", "ab+2a+5b+10"), ("trigonometry", @"\cot x", @"\frac{\cos x}{\sin x}"),
        ("different roots", @"\sqrt{13}", @"3\sqrt{13}"),
    ];

    public static void Run()
    {
        foreach ((string kind, string answer, string reference) in _pairs)
        {
            bool equal = MathGrader.AreEqual(answer, reference);
            Stopwatch clock = Stopwatch.StartNew();
            long count = 0;
            for (; clock.Elapsed.TotalSeconds < Seconds; count++) MathGrader.AreEqual(answer, reference);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{kind,-16} {(equal ? "equal" : "different"),-10} {count / clock.Elapsed.TotalSeconds,12:N0} pairs/s"));
        }
    }
}
