using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>The CPU twin of every op: fp32, vectorised, shared by the device's threads.</summary>
public sealed partial class CpuOps(CpuDevice device) : Ops(device)
{
    private readonly Workers _workers = device.Workers;

    /// <summary>Rows (or elements) that make a helping of about <paramref name="target"/> elementary operations.</summary>
    internal static int Grain(long costOfItem, int target = 16384) =>
        (int)Math.Clamp(target / Math.Max(costOfItem, 1), 1, int.MaxValue);
}
