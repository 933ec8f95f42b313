using System.Runtime.InteropServices;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>One run of an op case on a device, every tensor in an allocation of its own with guard bytes on both sides.</summary>
internal sealed class CaseRun : IDisposable
{
    private const int GuardBytes = 256;
    private const byte Guard = 0xA7;

    private readonly OpCase _op;
    private readonly CaseShape _shape;
    private readonly Device _device;
    private readonly Ops _ops;
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly List<(string Name, Tensor Tensor)> _guarded = [];

    /// <param name="device">Stays the caller's.</param>
    /// <param name="like">A run of the same case with other activations, whose very values are taken; null draws values.</param>
    public CaseRun(OpCase op, CaseShape shape, Device device, CaseRun? like = null)
    {
        _op = op;
        _shape = shape;
        _device = device;
        _ops = Ops.For(device);
        PhiloxStream random = new(7);
        IReadOnlyList<Operand> inputs = op.Inputs(shape), outputs = op.Outputs(shape);
        Inputs = [.. inputs.Select(input => Make(input))];
        for (int i = 0; i < Inputs.Length; i++) Set(Inputs[i], like?.InputValues[i] ?? Draw(Inputs[i], inputs[i].Draw, ref random));
        InputValues = [.. Inputs.Select(Values)];
        Outputs = [.. outputs.Select(output => Make(output))];
        for (int i = 0; i < Outputs.Length; i++)
        {
            if (outputs[i].StartsAs is { } name)
                Set(Outputs[i], InputValues[inputs.ToList().FindIndex(input => input.Name == name)]);
            else
                Poison(Outputs[i]);   // whatever is not written shows
        }
        OutputGradients = [.. outputs.Select(output => output.IsDifferentiable ? Make(output) : Tensor.None)];
        for (int i = 0; i < OutputGradients.Length; i++)
            if (!OutputGradients[i].IsNone) Set(OutputGradients[i], like?.OutputGradientValues[i] ?? Draw(OutputGradients[i], Draws.Normal(1), ref random));
        OutputGradientValues = [.. OutputGradients.Select(gradient => gradient.IsNone ? [] : Values(gradient))];
        InputGradients = [.. inputs.Select(input => input.Gradient == Gradient.None ? Tensor.None : Make(input with { Type = input.GradientType }))];
        for (int i = 0; i < InputGradients.Length; i++)
        {
            if (inputs[i].Gradient == Gradient.Added) Set(InputGradients[i], like?.InitialGradientValues[i] ?? Draw(InputGradients[i], Draws.Normal(1), ref random));
            if (inputs[i].Gradient == Gradient.Written) Poison(InputGradients[i]);
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

    /// <summary>Gives outputs that are updated in place their first values again, in the order of the device's stream.</summary>
    public void Restart(CudaDevice device)
    {
        IReadOnlyList<Operand> inputs = _op.Inputs(_shape), outputs = _op.Outputs(_shape);
        for (int i = 0; i < Outputs.Length; i++)
            if (outputs[i].StartsAs is { } name) device.CopyBytes(Inputs[inputs.ToList().FindIndex(input => input.Name == name)], Outputs[i]);
    }

    /// <summary>A sentence on the first tensor that was written outside its bounds; null if none was.</summary>
    public string? Overflow()
    {
        foreach ((string name, Tensor tensor) in _guarded)
        {
            Span<byte> all = Everything(tensor);
            if (all[..GuardBytes].IndexOfAnyExcept(Guard) >= 0) return $"{_op.Name} {_shape}: wrote before {name}.";
            if (all[(GuardBytes + (int)tensor.Bytes)..].IndexOfAnyExcept(Guard) >= 0) return $"{_op.Name} {_shape}: wrote past {name}.";
        }
        return null;
    }

    /// <summary>A sentence on the first input that was changed; null if none was.</summary>
    public string? ChangedInput()
    {
        IReadOnlyList<Operand> inputs = _op.Inputs(_shape);
        for (int i = 0; i < Inputs.Length; i++)
            if (!InputValues[i].AsSpan().SequenceEqual(Values(Inputs[i]))) return $"{_op.Name} {_shape}: changed its input {inputs[i].Name}.";
        return null;
    }

    /// <summary>All that the op wrote, for bitwise comparison.</summary>
    public byte[][] ResultBytes() =>
        [.. Outputs.Concat(InputGradients).Where(tensor => !tensor.IsNone).Select(tensor => Everything(tensor).Slice(GuardBytes, (int)tensor.Bytes).ToArray())];

    public static double[] Values(Tensor tensor) => tensor.DType switch
    {
        DType.I32 => [.. HostValues.Download<int>(tensor).Select(value => (double)value)],
        DType.BF16 => [.. HostValues.Download<ushort>(tensor).Select(bits => (double)BFloat16.Widen(bits))],
        _ => [.. HostValues.Download<float>(tensor).Select(value => (double)value)],
    };

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers) buffer.Dispose();
    }

    private Tensor Make(Operand operand)
    {
        long bytes = operand.Shape.Count * operand.Type.Size();
        DeviceBuffer buffer = _device.Allocate(Whole(bytes) + 2 * GuardBytes);
        _buffers.Add(buffer);
        Tensor tensor = new(buffer, GuardBytes, operand.Type, operand.Shape);
        byte[] guards = new byte[buffer.Bytes];
        guards.AsSpan().Fill(Guard);
        _device.Upload<int>(MemoryMarshal.Cast<byte, int>(guards), Raw(tensor));
        _guarded.Add((operand.Name, tensor));
        return tensor;
    }

    private static Span<byte> Everything(Tensor tensor) => MemoryMarshal.AsBytes(HostValues.Download<int>(Raw(tensor)).AsSpan());

    private static Tensor Raw(Tensor tensor) => new(tensor.Buffer, 0, DType.I32, (int)(tensor.Buffer!.Bytes / sizeof(int)));

    private static long Whole(long bytes) => (bytes + sizeof(int) - 1) / sizeof(int) * sizeof(int);

    private static double[] Draw(Tensor tensor, Draw draw, ref PhiloxStream random)
    {
        double[] values = new double[tensor.Count];
        for (int i = 0; i < values.Length; i++) values[i] = draw(ref random, i);
        return values;
    }

    private void Poison(Tensor tensor)
    {
        if (tensor.DType == DType.I32) _device.Upload<int>(Enumerable.Repeat(int.MinValue, (int)tensor.Count).ToArray(), tensor);
        else Set(tensor, [.. Enumerable.Repeat(double.NaN, (int)tensor.Count)]);
    }

    private void Set(Tensor tensor, double[] values)
    {
        if (tensor.DType == DType.I32) _device.Upload<int>(values.Select(value => (int)value).ToArray(), tensor);
        else if (tensor.DType == DType.BF16) _device.Upload<ushort>(values.Select(value => BFloat16.Round((float)value)).ToArray(), tensor);
        else _device.Upload<float>(values.Select(value => (float)value).ToArray(), tensor);
    }
}
