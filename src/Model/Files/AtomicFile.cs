using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Writes a file whole or not at all: under another name in the same folder, to the disk, then renamed.</summary>
public static class AtomicFile
{
    /// <summary>Lets <paramref name="body"/> fill the file; what was there before stays until the new one is complete.</summary>
    /// <exception cref="UserException">The disk is full, or the folder cannot be written; nothing is left behind.</exception>
    public static void Write(string path, Action<Stream> body)
    {
        string partial = path + ".partial";
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
            using (FileStream stream = new(partial, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
            {
                body(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(partial, path, overwrite: true);
            FolderEntry.Flush(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
        catch (Exception failure)
        {
            TryDelete(partial);
            if (failure is IOException or UnauthorizedAccessException) throw Unwritable(path, failure);
            throw;
        }
    }

    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    internal static UserException Unwritable(string path, Exception failure) =>
        new($"{path} cannot be written ({failure.Message.TrimEnd('.')}); check the folder, its rights and the free space.", failure);

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // It could not be made, so there is nothing to remove.
        }
    }
}
