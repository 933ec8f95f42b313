using QSharp.Engine;

namespace QSharp.Kernels;

public sealed unsafe partial class CpuOps
{
    /// <summary>A rule as plain numbers.</summary>
    private readonly struct DecodingLaw(GuidanceRule rule)
    {
        public readonly Tilt Tilt = rule.Tilt;
        public readonly ReturnFamily Family = rule.Family;
        public readonly float Lambda = rule.Lambda;
        public readonly Outside Outside = rule.Outside;
        public readonly float TopP = rule.TopP;
        public readonly bool IsGuided = rule.IsGuided;
        public readonly bool IsGreedy = rule.Temperature == 0;

        /// <summary>1/T.</summary>
        public readonly float Scale = rule.Temperature == 0 ? 1 : 1 / rule.Temperature;

        /// <summary>Whether temperature and top-p come after the tilt; it makes no difference to π_ref alone.</summary>
        public readonly bool TiltsFirst = rule.IsGuided && rule.Order == Order.TiltThenTemper;

        public readonly bool CutsTilted = rule.CutsTilted;
    }

    /// <summary>Log-weights of the returns, one row for all or one a row; or none.</summary>
    private readonly struct WeightTable(Tensor weights)
    {
        private readonly float* _first = weights.Floats();
        private readonly int _stride = weights.IsNone || weights.Shape.Rows == 1 ? 0 : weights.Shape.Last;

        public float* Row(int row) => _first + (long)row * _stride;
    }
}
