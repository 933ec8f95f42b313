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

    /// <summary>A library as a profiler's, which fills the slots for pushing and popping and counts.</summary>
    [Fact]
    public void A_profiler_that_injects_itself_gets_a_range_for_each_op()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The probe is built by g++.");
        string folder = Directory.CreateTempSubdirectory("qsharp-nvtx-").FullName, library = Path.Combine(folder, "probe.so");
        try
        {
            File.WriteAllText(Path.Combine(folder, "probe.cpp"), """
                #include <string.h>
                static char log_[256];
                static int push(const char* name) { strcat(log_, name); strcat(log_, "("); return 0; }
                static int pop() { strcat(log_, ")"); return 0; }
                extern "C" const char* probe_log() { return log_; }
                extern "C" int InitializeInjectionNvtx2(const void* (*get)(unsigned)) {
                    struct Callbacks { size_t bytes; int (*module)(int, void****, unsigned*); };
                    const Callbacks* callbacks = (const Callbacks*)get(1);
                    void*** table = 0; unsigned size = 0;
                    if (!callbacks || callbacks->bytes < sizeof(Callbacks) || !callbacks->module(5, &table, &size) || !callbacks->module(1, &table, &size) || size <= 11) return 0;
                    *table[9] = (void*)push; *table[11] = (void*)pop;
                    return 1;
                }
                """);
            using (System.Diagnostics.Process compiler = System.Diagnostics.Process.Start("g++", ["-shared", "-fPIC", "-o", library, Path.Combine(folder, "probe.cpp")]))
            {
                compiler.WaitForExit();
                Assert.Equal(0, compiler.ExitCode);
            }
            Nvtx.Attach(library);
            nint handle = System.Runtime.InteropServices.NativeLibrary.Load(library);
            nint log = System.Runtime.InteropServices.NativeLibrary.GetExport(handle, "probe_log");
            Spans(new CpuDevice(1));
            string? seen;
            unsafe
            {
                seen = System.Runtime.InteropServices.Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<nint>)log)());
            }
            Assert.Contains("Fill()Add()Add()", seen, StringComparison.Ordinal);
        }
        finally
        {
            Nvtx.Detach();
            Directory.Delete(folder, recursive: true);
        }
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
