namespace QSharp.Model;

/// <summary>Texts that lie inside the assembly.</summary>
internal static class Resource
{
    public static string Text(string name)
    {
        using Stream stream = typeof(Resource).Assembly.GetManifestResourceStream("QSharp.Model.Text.Resources." + name)
            ?? throw new ArgumentException($"There is no resource {name}.", nameof(name));
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
