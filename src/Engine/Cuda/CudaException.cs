using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>A call of the driver, of NVRTC or of cuBLAS failed. The message names the call, the error, and the kernel if one was launched.</summary>
public sealed class CudaException : Exception
{
    internal CudaException(string message, int code) : base(message) => Code = code;

    /// <summary>The native error code.</summary>
    public int Code { get; }

    /// <summary>Whether the device is lost to this process: after a fault on the device every later call fails as well.</summary>
    public bool IsSticky => Ends(Code);

    /// <summary>The same failure with more to say, in the same sentence.</summary>
    public CudaException With(string more) => new($"{Message[..^1]}; {more}.", Code);

    /// <summary>Whether a driver's error ends the use of its card in this process.</summary>
    internal static bool Ends(int result) => result is 214 or 700 or 702 or 709 or 710 or (>= 714 and <= 719) or 999;
}

/// <summary>Checks the return codes of native calls.</summary>
internal static class Cuda
{
    /// <summary>Throws unless a driver call succeeded; the call's text gives its name.</summary>
    /// <exception cref="CudaException">The result is an error.</exception>
    public static void Check(int result, string detail = "", [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != 0) throw Failure(result, detail, FunctionOf(call));
    }

    public static CudaException Failure(int result, string detail, string function)
    {
        CudaException failure = new($"{function} failed with {Describe(result)}{(detail.Length > 0 ? $" {detail}" : "")}.", result);
        if (!failure.IsSticky || CudaDevice.IsSynchronous) return failure;
        return failure.With("the fault may be of a kernel launched before, and QSHARP_SYNC=1 shows which one; the device is lost to this process");
    }

    /// <summary>Throws unless a cuBLAS call succeeded.</summary>
    public static void CheckBlas(int status, string detail = "", [CallerArgumentExpression(nameof(status))] string call = "")
    {
        if (status == 0) return;
        throw new CudaException($"{FunctionOf(call)} failed with {Marshal.PtrToStringUTF8(CuBlas.cublasGetStatusString(status))} ({status}){(detail.Length > 0 ? $" {detail}" : "")}.", status);
    }

    /// <summary>Throws unless an NVRTC call succeeded.</summary>
    public static void CheckNvrtc(int result, string detail = "", [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result == 0) return;
        throw new CudaException($"{FunctionOf(call)} failed with {Marshal.PtrToStringUTF8(Nvrtc.nvrtcGetErrorString(result))} ({result}){(detail.Length > 0 ? $" {detail}" : "")}.", result);
    }

    public static string Describe(int result)
    {
        CuDriver.cuGetErrorName(result, out nint name);
        CuDriver.cuGetErrorString(result, out nint text);
        return $"{Marshal.PtrToStringUTF8(name) ?? "an unknown error"} ({result}: {Marshal.PtrToStringUTF8(text) ?? "no text"})";
    }

    private static string FunctionOf(string call)
    {
        int open = call.IndexOf('(');
        string name = open < 0 ? call : call[..open];
        return name[(name.LastIndexOf('.') + 1)..];
    }
}
