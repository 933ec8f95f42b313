using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>A trace is a file that Perfetto reads, with every op, its tensors and its times.</summary>
[Collection(CudaCollection.Name)]
public sealed class TraceTests(CudaFixture cuda) : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"qsharp-trace-{Guid.NewGuid():N}.json");

    [Fact]
    public void On_the_CPU_each_op_has_a_span_of_the_host()
    {
        JsonObject[] spans = Spans(new CpuDevice(1));
        Assert.Equal(["Fill", "Add", "Add"], spans.Select(span => (string)span["name"]!));
        Assert.All(spans, span => Assert.Equal(1, (int)span["tid"]!));
        Assert.All(spans, span => Assert.True((double)span["dur"]! >= 0));
        Assert.Equal("F32[3, 5] F32[3, 5] F32[3, 5]", (string)spans[1]["args"]!["tensors"]!);
    }

    [Fact]
    public void On_CUDA_each_op_has_the_times_of_the_card_too()
    {
        JsonObject[] spans = Spans(cuda.Open());
        Assert.Equal(["Fill", "Add", "Add"], spans.Where(span => (int)span["tid"]! == 1).Select(span => (string)span["name"]!));
        JsonObject[] card = [.. spans.Where(span => (int)span["tid"]! == 2)];
        Assert.Equal(["Fill", "Add", "Add"], card.Select(span => (string)span["name"]!));
        Assert.All(card, span => Assert.True((double)span["dur"]! > 0));
        double[] starts = [.. card.Select(span => (double)span["ts"]!)];
        Assert.Equal(starts.Order(), starts);
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_one_sentence()
    {
        using CpuDevice device = new(1);
        UserException refused = Assert.Throws<UserException>(() => Trace.Start("/no/such/folder/trace.json", device));
        Assert.StartsWith("--trace /no/such/folder/trace.json: the file cannot be written", refused.Message, StringComparison.Ordinal);
        Assert.Null(Trace.Current);
    }

    public void Dispose() => File.Delete(_path);

    private JsonObject[] Spans(Device device)
    {
        using (device)
        {
            Ops ops = Ops.For(device);
            (Tensor x, DeviceBuffer memory) = Arena.Build(device, arena => arena.Take((3, 5)));
            using (memory)
            {
                Trace.Start(_path, device);
                ops.Fill(x, 2f);
                ops.Add(x, x, x);
                ops.Add(x, x, x);
                Assert.False(File.Exists(_path));
            }
        }
        JsonArray events = JsonNode.Parse(File.ReadAllText(_path))!["traceEvents"]!.AsArray();
        return [.. events.Select(e => e!.AsObject()).Where(e => (string)e["ph"]! == "X")];
    }
}
