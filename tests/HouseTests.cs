using System.Xml.Linq;

using Xunit;

namespace QSharp.Tests;

/// <summary>Rules of the house that no compiler keeps: how long a file is, who may know whom, where versions stand.</summary>
public class HouseTests
{
    private const int MaximumLines = 400;

    /// <summary>Projects in the order in which they may know each other: each only those that come later.</summary>
    private static readonly string[] _layers = ["Cli", "Model", "Kernels", "Engine"];

    [Fact]
    public void No_source_file_is_longer_than_a_reader_likes()
    {
        string[] sources = Files("*.cs", "src");
        Assert.NotEmpty(sources);
        string[] tooLong =
        [
            .. sources.Select(file => (Name: Relative(file), Lines: File.ReadLines(file).Count()))
                .Where(file => file.Lines > MaximumLines).Select(file => $"{file.Name} has {file.Lines} lines"),
        ];
        Assert.True(tooLong.Length == 0, $"More than {MaximumLines} lines is two files: {string.Join("; ", tooLong)}.");
    }

    [Fact]
    public void Projects_know_only_those_below_them()
    {
        string[] projects = Files("*.csproj", "src");
        Assert.Equal(_layers.Order(), projects.Select(Name).Order());
        foreach (string project in projects)
        {
            string[] known = [.. Items(project, "ProjectReference").Select(item => Name(Included(item).Replace('\\', '/')))];
            string? below = _layers.SkipWhile(layer => layer != Name(project)).Skip(1).FirstOrDefault();
            Assert.True(known.All(name => name == below),
                $"{Relative(project)} refers to {string.Join(", ", known)}; references go {string.Join(" → ", _layers)}, one step each.");
        }
    }

    [Fact]
    public void Package_versions_stand_in_one_file()
    {
        const string Versions = "Directory.Packages.props";
        string[] declared = [.. Items(Path.Combine(Repository.Root, Versions), "PackageVersion").Select(Included)];
        Assert.Equal(declared.Distinct(), declared);
        List<string> used = [];
        foreach (string file in (string[])[.. Files("*.csproj"), .. Files("*.props"), .. Files("*.targets")])
        {
            foreach (XElement reference in Items(file, "PackageReference"))
            {
                used.Add(Included(reference));
                Assert.False(HasVersion(reference, "Version") || HasVersion(reference, "VersionOverride"),
                    $"{Relative(file)} gives the version of {used[^1]} itself; it belongs in {Versions}.");
            }
            if (Relative(file) != Versions)
                Assert.True(!Items(file, "PackageVersion").Any(), $"{Relative(file)} lists package versions; they belong in {Versions}.");
        }
        Assert.NotEmpty(used);
        Assert.Equal(declared.Order(), used.Distinct().Order());   // none missing, none left over
    }

    private static bool HasVersion(XElement reference, string name) => reference.Attribute(name) is not null || reference.Element(name) is not null;

    private static IEnumerable<XElement> Items(string file, string kind) => XDocument.Load(file).Descendants(kind);

    private static string Included(XElement item) => (string?)item.Attribute("Include") ?? (string?)item.Attribute("Update") ?? "";

    private static string Name(string path) => Path.GetFileNameWithoutExtension(path);

    private static string Relative(string file) => Path.GetRelativePath(Repository.Root, file).Replace('\\', '/');

    /// <summary>Files of the repository, or of one folder of it, without what builds have made.</summary>
    private static string[] Files(string pattern, string folder = ".") =>
    [
        .. Directory.EnumerateFiles(Path.Combine(Repository.Root, folder), pattern, SearchOption.AllDirectories)
            .Where(file => !Relative(file).Split('/').Any(part => part is "bin" or "obj" or "artifacts" or "runs")).Order(StringComparer.Ordinal),
    ];
}
