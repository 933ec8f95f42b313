namespace QSharp.Kernels;

public sealed unsafe partial class CpuOps
{
    /// <summary>
    /// Whether a row counts for nothing; then its loss and gradient are written here: 0, whatever its logits are (0 · ∞ included).
    /// </summary>
    /// <param name="dx">[columns]; may be null.</param>
    private static bool IsSilent(float weight, float* loss, float* dx, int columns)
    {
        if (weight != 0) return false;
        *loss = 0;
        if (dx != null) new Span<float>(dx, columns).Clear();
        return true;
    }
}
