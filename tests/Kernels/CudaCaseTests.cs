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
        if (!CaseCheck.CanCheckAccesses(op, s)) return;   // run above, unchecked
        for (uint seed = 0; seed < 3; seed++)
        {
            using CudaDevice device = cuda.Open(isChecked: true, seed);
            Check(device, name, activations, shape);
        }
    }

    private static void Check(CudaDevice device, string name, DType activations, int shape)
    {
        (OpCase op, CaseShape s) = OpCaseTests.Find(name, shape);
        string? fault = CaseCheck.Run(op, s, activations, device).Fault;
        Assert.True(fault is null, fault);
        Assert.Equal(device.WorkingBytes, device.AllocatedBytes);
        string[] unsaid = [.. device.Kernels.Files.Except(op.Kernels)];
        Assert.True(unsaid.Length == 0, $"{name} uses {string.Join(", ", unsaid)}.cu, which its case does not list in Kernels.");
    }
}
