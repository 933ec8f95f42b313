using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Raw views of host tensors for the CPU twins; null for <see cref="Tensor.None"/>.</summary>
internal static unsafe class TensorPointers
{
    public static float* Floats(this Tensor tensor) => (float*)tensor.Address;

    public static int* Ints(this Tensor tensor) => (int*)tensor.Address;
}
