using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>One run of an op case on a CPU device, with guard bytes on both sides of every tensor that is written.</summary>
internal sealed class CaseRun : IDisposable
{
    private const int GuardBytes = 256;
    private const byte Guard = 0xA7;

    private readonly OpCase _op;
    private readonly CaseShape _shape;
    private readonly CpuDevice _device;
    private readonly Ops _ops;
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly List<(string Name, Tensor Tensor)> _guarded = [];

    public CaseRun(OpCase op, CaseShape shape, int threads)
    {
        _op = op;
        _shape = shape;
        _device = new CpuDevice(threads);
        _ops = Ops.For(_device);
        PhiloxStream random = new(7);
        IReadOnlyList<Operand> inputs = op.Inputs(shape), outputs = op.Outputs(shape);
        Inputs = [.. inputs.Select(input => Make(input))];
        for (int i = 0; i < Inputs.Length; i++) Fill(Inputs[i], inputs[i].Draw, ref random);
        InputValues = [.. Inputs.Select(Values)];
        Outputs = [.. outputs.Select(output => Make(output))];
        for (int i = 0; i < Outputs.Length; i++)
        {
            if (outputs[i].StartsAs is { } name)
                Set(Outputs[i], InputValues[inputs.ToList().FindIndex(input => input.Name == name)]);
            else if (outputs[i].Type == DType.F32)
                Outputs[i].Span<float>().Fill(float.NaN);   // whatever is not written shows
            else
                Outputs[i].Span<int>().Fill(int.MinValue);
        }
        OutputGradients = [.. outputs.Select(output => output.IsDifferentiable ? Make(output) : Tensor.None)];
        foreach (Tensor gradient in OutputGradients)
            if (!gradient.IsNone) Fill(gradient, Draws.Normal(1), ref random);
        OutputGradientValues = [.. OutputGradients.Select(gradient => gradient.IsNone ? [] : Values(gradient))];
        InputGradients = [.. inputs.Select(input => input.Gradient == Gradient.None ? Tensor.None : Make(input))];
        for (int i = 0; i < InputGradients.Length; i++)
        {
            if (inputs[i].Gradient == Gradient.Added) Fill(InputGradients[i], Draws.Normal(1), ref random);
            if (inputs[i].Gradient == Gradient.Written) InputGradients[i].Span<float>().Fill(float.NaN);
        }
        InitialGradientValues = [.. InputGradients.Select(gradient => gradient.IsNone ? [] : Values(gradient))];
    }

    public Tensor[] Inputs { get; }

    public Tensor[] Outputs { get; }

    public Tensor[] OutputGradients { get; }

    public Tensor[] InputGradients { get; }

    public double[][] InputValues { get; }

    public double[][] OutputGradientValues { get; }

    public double[][] InitialGradientValues { get; }

    public void Forward() => _op.Run(_ops, _shape, Inputs, Outputs);

    public void Backward()
    {
        if (_op.Inputs(_shape).Any(input => input.Gradient != Gradient.None))
            _op.RunBackward(_ops, _shape, Inputs, Outputs, OutputGradients, InputGradients);
    }

    public void AssertGuards()
    {
        foreach ((string name, Tensor tensor) in _guarded)
        {
            Span<byte> all = Everything(tensor);
            Assert.True(all[..GuardBytes].IndexOfAnyExcept(Guard) < 0, $"{_op.Name} {_shape}: wrote before {name}.");
            Assert.True(all[^GuardBytes..].IndexOfAnyExcept(Guard) < 0, $"{_op.Name} {_shape}: wrote past {name}.");
        }
    }

    public void AssertInputsUntouched()
    {
        for (int i = 0; i < Inputs.Length; i++)
            Assert.Equal(InputValues[i], Values(Inputs[i]));
    }

    /// <summary>All that the op wrote, for bitwise comparison.</summary>
    public byte[][] ResultBytes() =>
        [.. Outputs.Concat(InputGradients).Where(tensor => !tensor.IsNone).Select(tensor => Everything(tensor)[GuardBytes..^GuardBytes].ToArray())];

    public static double[] Values(Tensor tensor)
    {
        if (tensor.DType == DType.I32) return [.. tensor.Span<int>().ToArray().Select(value => (double)value)];
        if (tensor.DType == DType.BF16) return [.. tensor.Span<ushort>().ToArray().Select(bits => (double)BFloat16.Widen(bits))];
        return [.. tensor.Span<float>().ToArray().Select(value => (double)value)];
    }

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers) buffer.Dispose();
        _device.Dispose();
    }

    private Tensor Make(Operand operand)
    {
        long bytes = operand.Shape.Count * operand.Type.Size();
        DeviceBuffer buffer = _device.Allocate(bytes + 2 * GuardBytes);
        _buffers.Add(buffer);
        Tensor tensor = new(buffer, GuardBytes, operand.Type, operand.Shape);
        Everything(tensor)[..GuardBytes].Fill(Guard);
        Everything(tensor)[^GuardBytes..].Fill(Guard);
        _guarded.Add((operand.Name, tensor));
        return tensor;
    }

    private static unsafe Span<byte> Everything(Tensor tensor) => new((void*)(tensor.Address - GuardBytes), (int)tensor.Bytes + 2 * GuardBytes);

    private static void Fill(Tensor tensor, Draw draw, ref PhiloxStream random)
    {
        double[] values = new double[tensor.Count];
        for (int i = 0; i < values.Length; i++) values[i] = draw(ref random, i);
        Set(tensor, values);
    }

    private static void Set(Tensor tensor, double[] values)
    {
        if (tensor.DType == DType.I32)
        {
            Span<int> ints = tensor.Span<int>();
            for (int i = 0; i < values.Length; i++) ints[i] = (int)values[i];
            return;
        }
        if (tensor.DType == DType.BF16)
        {
            Span<ushort> halves = tensor.Span<ushort>();
            for (int i = 0; i < values.Length; i++) halves[i] = BFloat16.Round((float)values[i]);
            return;
        }
        Span<float> floats = tensor.Span<float>();
        for (int i = 0; i < values.Length; i++) floats[i] = (float)values[i];
    }
}
