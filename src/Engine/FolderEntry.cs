using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>What a folder lists, on the disk: a renamed file is there after a power cut only if its folder was flushed too.</summary>
public static partial class FolderEntry
{
    private const int ReadOnly = 0;

    /// <summary>Flushes a folder's own entries; does nothing where the system has no such call.</summary>
    /// <exception cref="IOException">The disk refuses.</exception>
    public static void Flush(string folder)
    {
        if (OperatingSystem.IsWindows()) return;
        int file = Open(folder, ReadOnly);
        if (file < 0) throw new IOException($"{folder} cannot be opened (error {Marshal.GetLastPInvokeError()})");
        int result = Sync(file), error = Marshal.GetLastPInvokeError();
        Close(file);
        // Some file systems have nothing to flush for a folder and say so (EINVAL).
        if (result < 0 && error != 22) throw new IOException($"{folder} cannot be flushed (error {error})");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int file);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);
}
