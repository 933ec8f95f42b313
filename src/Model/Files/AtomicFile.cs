using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Writes a file whole or not at all: under another name in the same folder, to the disk, then renamed.</summary>
public static class AtomicFile
{
    /// <summary>Lets <paramref name="body"/> fill the file; what was there before stays until the new one is complete.</summary>
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
        }
        catch (Exception failure)
        {
            File.Delete(partial);
            if (failure is IOException or UnauthorizedAccessException)
                throw new UserException($"{path} cannot be written ({failure.Message.TrimEnd('.')}); check the folder, its rights and the free space.", failure);
            throw;
        }
    }
}
