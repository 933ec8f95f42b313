using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y = silu(gate) · up with silu(g) = g·σ(g) (Shazeer 2020); gate and up lie side by side in one row.</summary>
    /// <param name="gateUp">[N, 2F]: gate, then up.</param>
    /// <param name="y">[N, F].</param>
    public void SwiGlu(Tensor gateUp, Tensor y)
    {
        (int rows, int width) = SwiGluSizes(gateUp, y);
        using OpSpan traced = Traced(gateUp, y);
        if (rows > 0) SwiGluCore(gateUp, y, rows, width);
    }

    /// <summary>The gradient of gate and up, written.</summary>
    /// <param name="dy">[N, F].</param>
    /// <param name="gateUp">[N, 2F], the input of <see cref="SwiGlu"/>.</param>
    /// <param name="dGateUp">[N, 2F]; may be gateUp.</param>
    public void SwiGluBackward(Tensor dy, Tensor gateUp, Tensor dGateUp)
    {
        (int rows, int width) = SwiGluSizes(gateUp, dy);
        Require(dGateUp, rows, 2 * width, TypeOf(gateUp));
        using OpSpan traced = Traced(dy, gateUp, dGateUp);
        if (rows > 0) SwiGluBackwardCore(dy, gateUp, dGateUp, rows, width);
    }

    private (int Rows, int Width) SwiGluSizes(Tensor gateUp, Tensor y)
    {
        int width = y.Shape.Last, rows = y.Shape.Rows;
        Require(y, rows, width, TypeOf(gateUp));
        Require(gateUp, rows, 2 * width, TypeOf(gateUp));
        return (rows, width);
    }

    private protected abstract void SwiGluCore(Tensor gateUp, Tensor y, int rows, int width);

    private protected abstract void SwiGluBackwardCore(Tensor dy, Tensor gateUp, Tensor dGateUp, int rows, int width);
}

public sealed unsafe partial class CpuOps
{
    private protected override void SwiGluCore(Tensor gateUp, Tensor y, int rows, int width) =>
        _workers.For(rows, Grain(8L * width), new SwiGluWork(gateUp.Floats(), y.Floats(), width));

    private protected override void SwiGluBackwardCore(Tensor dy, Tensor gateUp, Tensor dGateUp, int rows, int width) =>
        _workers.For(rows, Grain(10L * width), new SwiGluBackwardWork(dy.Floats(), gateUp.Floats(), dGateUp.Floats(), width));

    private readonly struct SwiGluWork(float* gateUp, float* y, int width) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* gate = gateUp + 2L * n * width, up = gate + width, row = y + (long)n * width;
                int i = 0;
                for (; i + 8 <= width; i += 8) Value(Vector256.Load(gate + i), Vector256.Load(up + i)).Store(row + i);
                for (; i < width; i++) row[i] = Value(Vector256.CreateScalar(gate[i]), Vector256.CreateScalar(up[i]))[0];
            }
        }

        private static Vector256<float> Value(Vector256<float> gate, Vector256<float> up) => gate * VectorMath.Sigmoid(gate) * up;
    }

    private readonly struct SwiGluBackwardWork(float* dy, float* gateUp, float* dGateUp, int width) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* gate = gateUp + 2L * n * width, dGate = dGateUp + 2L * n * width, row = dy + (long)n * width;
                int i = 0;
                for (; i + 8 <= width; i += 8)
                {
                    (Vector256<float> g, Vector256<float> u) = Slopes(Vector256.Load(gate + i), Vector256.Load(gate + width + i), Vector256.Load(row + i));
                    g.Store(dGate + i);
                    u.Store(dGate + width + i);
                }
                for (; i < width; i++)
                {
                    (Vector256<float> g, Vector256<float> u) = Slopes(
                        Vector256.CreateScalar(gate[i]), Vector256.CreateScalar(gate[width + i]), Vector256.CreateScalar(row[i]));
                    dGate[i] = g[0];
                    dGate[width + i] = u[0];
                }
            }
        }

        private static (Vector256<float> Gate, Vector256<float> Up) Slopes(Vector256<float> gate, Vector256<float> up, Vector256<float> dy)
        {
            Vector256<float> sigma = VectorMath.Sigmoid(gate);
            Vector256<float> silu = gate * sigma;
            return (dy * up * (sigma + silu * (Vector256<float>.One - sigma)), dy * silu);
        }
    }
}
