using QSharp.Engine;

namespace QSharp.Model;

/// <summary>The same as <see cref="AtomicFile"/> for a folder of files.</summary>
public static class AtomicFolder
{
    // Says that a folder is unfinished work of ours, and is held open while it is worked on.
    private const string Mark = ".unfinished";

    /// <summary>
    /// Lets <paramref name="body"/> fill a folder under another name, then gives it its own; an older folder of that name
    /// is replaced. What an interrupted call left under the other name is removed; anything else there is not touched.
    /// </summary>
    /// <exception cref="UserException">The folder cannot be written, or something lies under the other name.</exception>
    public static void Write(string path, Action<string> body)
    {
        string partial = path + ".partial", old = path + ".old.partial";
        try
        {
            if (Directory.Exists(old))
                throw new UserException($"{old}: this folder is what an interrupted call had put aside when it replaced {path}; rename it back if that is not there, else delete it.");
            ClearUnfinished(partial);
            Directory.CreateDirectory(partial);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw AtomicFile.Unwritable(path, failure);
        }
        try
        {
            using (new FileStream(Path.Combine(partial, Mark), FileMode.Create, FileAccess.Write, FileShare.None)) body(partial);
            FolderEntry.Flush(partial);
            if (Directory.Exists(path)) Directory.Move(path, old);
            Directory.Move(partial, path);
            File.Delete(Path.Combine(path, Mark));
            FolderEntry.Flush(Path.GetDirectoryName(Path.GetFullPath(path))!);
            if (Directory.Exists(old)) Directory.Delete(old, recursive: true);
        }
        catch (Exception failure)
        {
            if (Directory.Exists(partial)) Directory.Delete(partial, recursive: true);
            if (failure is IOException or UnauthorizedAccessException) throw AtomicFile.Unwritable(path, failure);
            throw;
        }
    }

    private static void ClearUnfinished(string partial)
    {
        if (!Directory.Exists(partial)) return;
        string mark = Path.Combine(partial, Mark);
        if (!File.Exists(mark))
            throw new UserException($"{partial}: a folder is to be written under this name, but something else lies there; move it away or delete it.");
        try
        {
            new FileStream(mark, FileMode.Open, FileAccess.Write, FileShare.None).Dispose();
        }
        catch (IOException failure)
        {
            throw new UserException($"{partial}: another process is writing this folder; wait for it, or give another name.", failure);
        }
        Directory.Delete(partial, recursive: true);
    }
}
