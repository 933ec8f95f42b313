using System.Numerics;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>The K highest logits of each row, highest first, ties lower id first. NaN counts as −∞.</summary>
    /// <param name="logits">[B, V]; −∞ is legal and comes last.</param>
    /// <param name="ids">[B, K] I32, K ≤ V.</param>
    /// <param name="values">[B, K], the logits of ids; may be None.</param>
    public void TopK(Tensor logits, Tensor ids, Tensor values)
    {
        int rows = logits.Shape.Rows, k = ids.Shape.Last;
        Require(logits, rows, logits.Shape.Last);
        Require(ids, rows, k, DType.I32);
        if (!values.IsNone) Require(values, rows, k);
        Require(k <= logits.Shape.Last || rows == 0, "more ids are asked for than there are logits.");
        using OpSpan traced = Traced(logits, ids, values);
        if (k > 0 && rows > 0) TopKCore(logits, ids, values);
    }

    private protected abstract void TopKCore(Tensor logits, Tensor ids, Tensor values);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TopKCore(Tensor logits, Tensor ids, Tensor values)
    {
        int vocabulary = logits.Shape.Last;
        _workers.For(
            logits.Shape.Rows, Grain(vocabulary),
            new TopKWork(logits.Floats(), ids.Ints(), values.Floats(), vocabulary, ids.Shape.Last));
    }

    /// <summary>
    /// A heap of the K best ids, the worst on top, kept in the output itself. After the first K tokens one comparison of 32
    /// tokens with the worst of the best passes over almost everything: about K·ln(V/K) tokens enter the heap.
    /// </summary>
    private readonly struct TopKWork(float* logits, int* ids, float* values, int vocabulary, int k) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++)
                Row(logits + (long)row * vocabulary, ids + (long)row * k, values is null ? null : values + (long)row * k);
        }

        private void Row(float* x, int* heap, float* best)
        {
            for (int i = 0; i < k; i++) heap[i] = i;
            for (int i = k / 2 - 1; i >= 0; i--) SiftDown(x, heap, i, k);
            float worst = Key(x, heap[0]);
            int token = k;
            for (; token + 32 <= vocabulary; token += 32)
            {
                Vector256<float> bar = Vector256.Create(worst);
                Vector256<float> a = Vector256.GreaterThan(Vector256.Load(x + token), bar);
                Vector256<float> b = Vector256.GreaterThan(Vector256.Load(x + token + 8), bar);
                Vector256<float> c = Vector256.GreaterThan(Vector256.Load(x + token + 16), bar);
                Vector256<float> d = Vector256.GreaterThan(Vector256.Load(x + token + 24), bar);
                if ((a | b | c | d).ExtractMostSignificantBits() == 0) continue;
                uint above = a.ExtractMostSignificantBits() | (b.ExtractMostSignificantBits() << 8)
                    | (c.ExtractMostSignificantBits() << 16) | (d.ExtractMostSignificantBits() << 24);
                for (; above != 0; above &= above - 1) Offer(x, heap, token + BitOperations.TrailingZeroCount(above), ref worst);
            }
            for (; token < vocabulary; token++) Offer(x, heap, token, ref worst);
            for (int last = k - 1; last > 0; last--)
            {
                (heap[0], heap[last]) = (heap[last], heap[0]);   // the worst of the rest goes to the end
                SiftDown(x, heap, 0, last);
            }
            if (best is null) return;
            for (int i = 0; i < k; i++) best[i] = Key(x, heap[i]);
        }

        private void Offer(float* x, int* heap, int token, ref float worst)
        {
            if (!(x[token] > worst)) return;   // an equal logit has a higher id than all in the heap
            heap[0] = token;
            SiftDown(x, heap, 0, k);
            worst = Key(x, heap[0]);
        }

        private static void SiftDown(float* x, int* heap, int i, int count)
        {
            int id = heap[i];
            while (true)
            {
                int child = 2 * i + 1;
                if (child >= count) break;
                if (child + 1 < count && IsWorse(x, heap[child + 1], heap[child])) child++;
                if (!IsWorse(x, heap[child], id)) break;
                heap[i] = heap[child];
                i = child;
            }
            heap[i] = id;
        }

        private static bool IsWorse(float* x, int a, int b)
        {
            float left = Key(x, a), right = Key(x, b);
            return left < right || (left == right && a > b);
        }

        private static float Key(float* x, int id) => float.IsNaN(x[id]) ? float.NegativeInfinity : x[id];
    }
}
