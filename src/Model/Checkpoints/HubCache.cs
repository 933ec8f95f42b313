using QSharp.Engine;

namespace QSharp.Model;

/// <summary>The local cache of the Hugging Face hub. Nothing is ever downloaded.</summary>
internal static class HubCache
{
    /// <summary>The folder that a model id stands for: the snapshot of its main branch.</summary>
    /// <param name="id">org/name.</param>
    /// <exception cref="UserException">It is not in the cache.</exception>
    private static string Find(string id)
    {
        string root = Root();
        string repository = Path.Combine(root, "models--" + id.Replace("/", "--", StringComparison.Ordinal));
        string reference = Path.Combine(repository, "refs", "main");
        if (File.Exists(reference))
        {
            string snapshot = Path.Combine(repository, "snapshots", File.ReadAllText(reference).Trim());
            if (Directory.Exists(snapshot)) return snapshot;
        }
        throw new UserException($"{id}: there is no such folder, and no such model in the Hugging Face cache at {root}; give a folder or a GGUF file, or download the model first (nothing is downloaded here).");
    }

    /// <summary>A path as it is, or the folder of a model id that is nothing on this disk.</summary>
    /// <exception cref="UserException">It is such an id, and not in the cache.</exception>
    public static string Resolve(string path) => IsId(path) ? Find(path) : path;

    /// <summary>Whether a path has the form of a model id and is nothing on this disk.</summary>
    private static bool IsId(string path)
    {
        string[] words = path.Split('/');
        return words.Length == 2 && words.All(word => word.Length > 0 && word is not "." and not ".." and not "~") && !Path.Exists(path);
    }

    private static string Root()
    {
        if (Environment.GetEnvironmentVariable("HF_HUB_CACHE") is { Length: > 0 } hub) return hub;
        if (Environment.GetEnvironmentVariable("HF_HOME") is { Length: > 0 } home) return Path.Combine(home, "hub");
        return Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "huggingface", "hub");
    }
}
