using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>
/// Every op case through the CUDA device, against the float64 oracle and the CPU twin. Where there is no card that is the
/// stand-in driver, which runs the same .cu files: fast once, and with every access checked in three orders of the threads.
/// QSHARP_TEST_OP=name runs the cases of one op alone.
/// </summary>
[Collection(CudaCollection.Name)]
public sealed class CudaCaseTests(CudaFixture cuda)
{
    public static TheoryData<string, DType, int> Cases()
    {
        TheoryData<string, DType, int> data = [];
        string? chosen = Environment.GetEnvironmentVariable("QSHARP_TEST_OP");
        foreach (OpCase op in OpCases.All)
            for (int shape = 0; shape < op.Shapes.Count; shape++)
            {
                if (chosen is not null && op.Name != chosen && !op.Name.StartsWith(chosen + "_", StringComparison.Ordinal)) continue;
                data.Add(op.Name, DType.F32, shape);
                if (op.HasActivations) data.Add(op.Name, DType.BF16, shape);
            }
        return data;
    }

    [Theory, MemberData(nameof(Cases))]
    public void An_op_agrees_with_the_oracle_and_with_its_CPU_twin(string name, DType activations, int shape)
    {
        using CudaDevice device = cuda.Open();
        Check(device, name, activations, shape);
    }

    [Theory, MemberData(nameof(Cases))]
    public void An_op_passes_the_checked_build_in_any_order_of_its_threads(string name, DType activations, int shape)
    {
        (OpCase op, CaseShape s) = OpCaseTests.Find(name, shape);
        if (op.Cost(s).Flops + op.Cost(s).Bytes > CudaFixture.MostWorkChecked) return;   // run above, unchecked
        for (uint seed = 0; seed < 3; seed++)
        {
            using CudaDevice device = cuda.Open(isChecked: true, seed);
            Check(device, name, activations, shape);
        }
    }

    private static void Check(CudaDevice device, string name, DType activations, int shape)
    {
        (OpCase plain, CaseShape s) = OpCaseTests.Find(name, shape);
        OpCase op = plain.With(activations);
        using (CaseRun run = new(op, s, device))
        {
            run.Forward();
            double[][] oracle = op.Oracle(s, run.InputValues);
            for (int i = 0; i < oracle.Length; i++)
                OpCaseTests.AssertClose(op, s, op.Outputs(s)[i], oracle[i], CaseRun.Values(run.Outputs[i]));
            run.AssertGuards();
            run.AssertInputsUntouched();
            byte[][] forward = run.ResultBytes();
            using CaseRun again = new(op, s, device, run);
            again.Forward();
            AssertSameBits(op, s, forward, again.ResultBytes(), run.Outputs.Length);
            if (OpCaseTests.HasGradients(op, s)) CheckBackward(op, plain, s, run, again);
        }
        Assert.Equal(device.WorkingBytes, device.AllocatedBytes);
    }

    private static void CheckBackward(OpCase op, OpCase plain, CaseShape s, CaseRun run, CaseRun again)
    {
        using CpuDevice cpu = new(1);
        using CaseRun twin = new(plain, s, cpu, run);
        twin.Forward();
        twin.Backward();
        run.Backward();
        again.Backward();
        run.AssertGuards();
        for (int i = 0; i < run.InputGradients.Length; i++)
            if (!run.InputGradients[i].IsNone)
                OpCaseTests.AssertClose(op, s, op.Inputs(s)[i], CaseRun.Values(twin.InputGradients[i]), CaseRun.Values(run.InputGradients[i]));
        AssertSameBits(op, s, run.ResultBytes(), again.ResultBytes(), int.MaxValue);
    }

    private static void AssertSameBits(OpCase op, CaseShape s, byte[][] first, byte[][] second, int count)
    {
        for (int i = 0; i < Math.Min(count, first.Length); i++)
            Assert.True(first[i].AsSpan().SequenceEqual(second[i]), $"{op.Name} {s}: result {i} differs when the op runs again.");
    }
}
