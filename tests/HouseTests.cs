using System.Reflection;
using System.Xml.Linq;

using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests;

/// <summary>Rules of the house that a compiler does not check.</summary>
public class HouseTests
{
    private const int LongestFile = 400;

    private static readonly string[] _layers = ["Engine", "Kernels", "Model", "Cli"];

    [Fact]
    public void No_source_file_is_longer_than_400_lines()
    {
        string[] sources = [.. Files().Where(file => file.EndsWith(".cs", StringComparison.Ordinal))];
        Assert.True(sources.Length > 50, $"{sources.Length} sources found");
        Assert.DoesNotContain(sources.Select(file => (Name: file, Lines: File.ReadLines(file).Count())), file => file.Lines > LongestFile);
    }

    [Fact]
    public void Layers_refer_downwards_only()
    {
        foreach (string project in Projects().Where(project => project.Contains("/src/", StringComparison.Ordinal)))
        {
            int layer = Array.IndexOf(_layers, Path.GetFileNameWithoutExtension(project));
            Assert.True(layer >= 0, project);
            string[] references = [.. XDocument.Load(project).Descendants("ProjectReference").Select(each => Path.GetFileNameWithoutExtension((string)each.Attribute("Include")!))];
            string[] expected = layer == 0 ? [] : [_layers[layer - 1]];
            Assert.Equal(expected, references);
        }
    }

    [Fact]
    public void Versions_of_packages_stand_in_one_file()
    {
        foreach (string project in Projects())
            Assert.DoesNotContain(XDocument.Load(project).Descendants("PackageReference"), each => each.Attribute("Version") is not null || each.Element("Version") is not null || each.Attribute("VersionOverride") is not null);
        string[] used = [.. Projects().SelectMany(project => XDocument.Load(project).Descendants("PackageReference")).Select(each => (string)each.Attribute("Include")!)];
        string[] listed = [.. XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props")).Descendants("PackageVersion").Select(each => (string)each.Attribute("Include")!)];
        Assert.Empty(used.Except(listed));
        Assert.Equal(listed.Length, listed.Distinct().Count());
    }

    [Fact]
    public void Every_op_case_is_listed()
    {
        Type[] cases = [.. typeof(OpCase).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(OpCase)) && !type.IsAbstract)];
        Assert.True(cases.Length > 20, $"{cases.Length} cases found");
        Assert.Empty(cases.Except(OpCases.All.Select(op => op.GetType())));
        Assert.Equal(OpCases.All.Count, OpCases.All.Select(op => op.Name).Distinct().Count());
    }

    [Fact]
    public void Every_op_has_a_case()
    {
        // A backward is checked by its forward's case.
        string[] ops = [.. typeof(Ops).GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
            .Where(method => !method.IsSpecialName && method.ReturnType == typeof(void)).Select(method => method.Name).Distinct()];
        string[] cases = [.. OpCases.All.Select(op => op.GetType().Name[..^"Case".Length]).Distinct()];
        Assert.True(ops.Length > 20, $"{ops.Length} ops found");
        Assert.Empty(ops.Except(cases.Concat(cases.Select(op => op + "Backward"))));
    }

    [Fact]
    public void No_file_names_a_folder_of_the_machine_it_was_written_on()
    {
        // Put together here, so that this file does not hold them itself.
        string[] folders = ["/" + "work/", "/" + "tmp/qs"];
        foreach (string file in Files())
        {
            string text = File.ReadAllText(file);
            foreach (string folder in folders)
                for (int at = text.IndexOf(folder, StringComparison.Ordinal); at >= 0; at = text.IndexOf(folder, at + 1, StringComparison.Ordinal))
                    Assert.True(at > 0 && (char.IsLetterOrDigit(text[at - 1]) || text[at - 1] is '/' or '.' or '-' or '_'), $"{file} holds {folder} at {at}.");
        }
    }

    private static IEnumerable<string> Projects() => Files().Where(file => file.EndsWith(".csproj", StringComparison.Ordinal));

    /// <summary>Everything but what is built, fetched or made by runs.</summary>
    private static IEnumerable<string> Files() => Files(Repository.Root);

    private static IEnumerable<string> Files(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder))
            if (Path.GetFileName(file) != ".git") yield return file;
        foreach (string inner in Directory.EnumerateDirectories(folder))
        {
            if (Path.GetFileName(inner) is "bin" or "obj" or ".git" or ".vs" or ".idea" or "runs" or "TestResults" or "shared" or "artifacts" or "BenchmarkDotNet.Artifacts") continue;
            foreach (string file in Files(inner)) yield return file;
        }
    }
}
