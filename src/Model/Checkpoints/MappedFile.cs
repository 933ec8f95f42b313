using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A file mapped into memory for reading: its bytes come from the disk when they are looked at, so it may be larger than
/// memory. It must keep its length while it is open, and no span from it may be used after <see cref="Dispose"/>.
/// </summary>
internal sealed class MappedFile : IDisposable
{
    private readonly MemoryMappedFile? _mapping;
    private readonly MemoryMappedViewAccessor? _view;

    private MappedFile(string path, MemoryMappedFile? mapping, MemoryMappedViewAccessor? view, long length)
    {
        (Path, _mapping, _view, Length) = (path, mapping, view, length);
    }

    /// <summary>The path as it was given.</summary>
    public string Path { get; }

    /// <summary>Bytes; 0 for an empty file, which is mapped nowhere.</summary>
    public long Length { get; }

    /// <param name="kind">What is expected there, for the message where it is a folder.</param>
    /// <exception cref="UserException">There is no such file, or it cannot be read.</exception>
    public static MappedFile Open(string path, string kind)
    {
        MemoryMappedFile? mapping = null;
        MemoryMappedViewAccessor? view = null;
        try
        {
            if (Directory.Exists(path)) throw new UserException($"{path} is a folder where a {kind} is expected: name the file in it.");
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            long length = stream.Length;
            if (length == 0) return new MappedFile(path, null, null, 0);
            mapping = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, true);
            view = mapping.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new MappedFile(path, mapping, view, length);
        }
        catch (Exception failure)
        {
            view?.Dispose();
            mapping?.Dispose();
            if (failure is FileNotFoundException or DirectoryNotFoundException)
                throw new UserException($"{path} does not exist: check the path, or download the model.", failure);
            if (failure is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
                throw new UserException($"{path} cannot be read ({failure.Message.TrimEnd('.')}): check that it is a file and that you may read it.", failure);
            throw;
        }
    }

    /// <summary>
    /// A span over the mapping. The handle is the mapping's address (its view starts at byte 0, so there is no page offset to add);
    /// made into a reference this way, the project needs no unsafe code.
    /// </summary>
    public ReadOnlySpan<byte> Span(long offset, int count)
    {
        if (offset < 0 || count < 0 || offset > Length - count) throw new ArgumentOutOfRangeException(nameof(offset));
        if (_view is null) return [];
        ObjectDisposedException.ThrowIf(_view.SafeMemoryMappedViewHandle.IsClosed, this);
        nint address = _view.SafeMemoryMappedViewHandle.DangerousGetHandle() + (nint)offset;
        return MemoryMarshal.CreateReadOnlySpan(ref Unsafe.AddByteOffset(ref Unsafe.NullRef<byte>(), address), count);
    }

    public void Dispose()
    {
        _view?.Dispose();
        _mapping?.Dispose();
    }
}
