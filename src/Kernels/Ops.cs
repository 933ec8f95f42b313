using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Every operation of the engine. One file an op: the public method states the contract and checks it once for all
/// devices; its core is the device's own. Rules that hold for all ops:
/// inputs come first and destinations last; gradients of parameters are added to, gradients of activations are written,
/// except where a contract says "adds" (the residual stream); sums are accumulated in fp32 or better; nothing is
/// allocated and nothing waits for the device; an item's result does not depend on the number of threads.
/// A contract's shape [N, C] means any rank with N rows of length C.
/// </summary>
public abstract partial class Ops(Device device)
{
    public Device Device { get; } = device;

    /// <summary>The ops of a device.</summary>
    public static Ops For(Device device) => device switch
    {
        CpuDevice cpu => new CpuOps(cpu),
        CudaDevice cuda => new CudaOps(cuda),
        _ => throw new ArgumentException($"No ops are written for the device {device.Name}."),
    };

    /// <summary>Notes the op in the trace, if one runs, until the end of the method.</summary>
    private protected OpSpan Traced(
        in Tensor a, in Tensor b = default, in Tensor c = default, in Tensor d = default, [CallerMemberName] string op = "") =>
        OpSpan.Of(Device, op, a, b, c, d);

    /// <summary>The type that an op's activations share: that of the first one, if the device keeps activations so, else F32.</summary>
    private protected DType TypeOf(Tensor activation) => activation.DType == Device.ActivationType ? activation.DType : DType.F32;

    /// <summary>Checks that a tensor has N rows of length C, whatever its rank.</summary>
    private protected void Require(
        Tensor tensor, int rows, int columns, DType type = DType.F32,
        [CallerArgumentExpression(nameof(tensor))] string name = "", [CallerMemberName] string op = "")
    {
        if (tensor.IsNone || tensor.DType != type || tensor.Count != (long)rows * columns
            || (tensor.Count > 0 && tensor.Shape.Rank > 1 && tensor.Shape.Last != columns && columns != 1)
            || !ReferenceEquals(tensor.Buffer!.Device, Device))
            Reject(tensor, $"{type}[{rows}, {columns}] on {Device.Name}", name, op);
    }

    /// <summary>Checks that a weight that is only read has N rows of length C, in F32 or BF16.</summary>
    private protected void RequireWeight(
        Tensor tensor, int rows, int columns,
        [CallerArgumentExpression(nameof(tensor))] string name = "", [CallerMemberName] string op = "") =>
        Require(tensor, rows, columns, tensor.DType == DType.BF16 ? DType.BF16 : DType.F32, name, op);

    /// <summary>Checks that a tensor has <paramref name="count"/> elements, whatever its rank.</summary>
    private protected void Require(
        Tensor tensor, int count, DType type = DType.F32,
        [CallerArgumentExpression(nameof(tensor))] string name = "", [CallerMemberName] string op = "")
    {
        if (tensor.IsNone || tensor.DType != type || tensor.Count != count || !ReferenceEquals(tensor.Buffer!.Device, Device))
            Reject(tensor, $"{type}[{count}] on {Device.Name}", name, op);
    }

    /// <summary>Checks a condition that shapes alone do not express.</summary>
    private protected static void Require(
        bool condition, string message, [CallerMemberName] string op = "")
    {
        if (!condition) throw new ArgumentException($"{op}: {message}");
    }

    private protected static void Require(
        bool condition, [InterpolatedStringHandlerArgument(nameof(condition))] ref CheckMessage message, [CallerMemberName] string op = "")
    {
        if (!condition) throw new ArgumentException($"{op}: {message.Take()}");
    }

    private static void Reject(Tensor tensor, string expected, string name, string op) =>
        throw new ArgumentException($"{op}: {name} is {tensor}{(tensor.Buffer is null ? "" : $" on {tensor.Buffer.Device.Name}")}, but must be {expected}.");
}
