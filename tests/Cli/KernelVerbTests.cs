using System.Text.Json.Nodes;

using QSharp.Cli.Verbs;
using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>`qsharp kernel`, on the stand-in where something runs; its clock is simulated, so timings show the path, not a speed.</summary>
[Collection(CudaCollection.Name)]
public sealed class KernelVerbTests(CudaFixture cuda)
{
    private sealed record Result(int ExitCode, string Out, string Error, JsonObject Json);

    [Fact]
    public void A_list_tells_registers_shared_memory_spills_and_blocks_for_each_architecture()
    {
        Result list = Run(new KernelRequest { Name = "rms_norm", Lists = true });
        Assert.Equal((0, ""), (list.ExitCode, list.Error));
        JsonNode[] rows = [.. list.Json["kernels"]!.AsArray().OfType<JsonNode>().Where(row => (string)row["kernel"]! == "rms_norm" && (string)row["variant"]! == "T=bf16")];
        Assert.Equal([80, 86, 89, 90], rows.Select(row => (int)row["sm"]!));
        Assert.All(rows, row =>
        {
            Assert.InRange((int)row["registers"]!, 8, 255);
            Assert.InRange((int)row["threads"]!, 32, 1024);
            Assert.InRange((int)row["blocks_per_sm"]!, 1, 32);
            Assert.Equal(0, (int)row["spill_bytes"]!);
        });
        Assert.Matches(@"rms_norm +T=bf16 +90 +\d+ +\d+ +\d+ +0 +\d+", list.Out);
    }

    [Fact]
    public void A_variant_is_chosen_by_its_definitions_or_its_suffix()
    {
        Assert.Contains(".entry add_f32(", Run(new KernelRequest { Name = "add", PrintsPtx = true }).Out);
        foreach (string variant in (string[])["T=bf16", "bf16"])
            Assert.Contains(".entry add_bf16(", Run(new KernelRequest { Name = "add", PrintsPtx = true, Variant = variant }).Out);
        Refused(new KernelRequest { Name = "add", PrintsPtx = true, Variant = "f64" }, "--variant f64", "T=float | T=bf16");
    }

    [Fact]
    public void A_check_runs_every_case_fast_and_checked_with_one_more_shape()
    {
        Result check = Run(new KernelRequest { Name = "add", Checks = true, Shape = "5x7" });
        Assert.Equal(0, check.ExitCode);
        Sentence.Assert(check.Error.Trim(), "stand-in");
        JsonNode[] rows = [.. check.Json["checks"]!.AsArray().OfType<JsonNode>()];
        Assert.All(rows, row => Assert.True((bool)row["right"]!));
        foreach (string type in (string[])["f32", "bf16"])
            foreach (bool isChecked in (bool[])[false, true])
                Assert.Contains(rows, row => (string)row["type"]! == type && (bool)row["checked"]! == isChecked && row["shape"]!.ToJsonString() == "[5,7]");
        Assert.Equal(2, check.Out.Split('\n').Count(line => line.Contains("given (5x7)") && line.Contains("stand-in, checked") && line.EndsWith("right")));
    }

    [Fact]
    public void A_wrong_kernel_ends_with_1_and_is_told_with_its_shape_and_error()
    {
        using KernelCopy copy = new(cuda);
        copy.Edit("fill", "bits, bits, bits, bits", "bits, bits, bits, 0");
        Result check = Run(new KernelRequest { Name = "fill", Checks = true, Folder = copy.Path });
        Assert.Equal(1, check.ExitCode);
        Assert.Contains("OFF", check.Out);
        Assert.Contains("fill activations (2048x256): floats is off by NMSE", check.Error);
    }

    [Fact]
    public void A_fault_of_a_kernel_is_a_failed_check_and_the_others_still_run()
    {
        using KernelCopy copy = new(cuda);
        copy.Edit("fill", "for (long long i = at; i < at + 8 && i < count; i++)", "for (long long i = at; i < at + 100000; i++)");
        Result check = Run(new KernelRequest { Name = "fill", Checks = true, Folder = copy.Path });
        Assert.Equal(1, check.ExitCode);
        Assert.Contains("fill odd (3x17): ", check.Error);
        Assert.Equal(ChecksOfFill(), check.Json["checks"]!.AsArray().Count);
    }

    /// <summary>Each shape in two types, fast, and where it is small enough in the checked build too.</summary>
    private static int ChecksOfFill()
    {
        OpCase fill = OpCases.All.Single(op => op.Name == "fill");
        return fill.Shapes.Sum(shape => CaseCheck.CanCheckAccesses(fill, shape) ? 4 : 2);
    }

    [Fact]
    public void A_time_has_median_rate_and_share_of_the_floor()
    {
        Result time = Run(new KernelRequest { Name = "add", Times = true, TimesStandIn = true, Shape = "5x7" });
        Assert.Equal(0, time.ExitCode);
        JsonNode[] rows = [.. time.Json["timings"]!.AsArray().OfType<JsonNode>().Where(row => (string)row["case"]! == "add")];
        Assert.Equal(4, rows.Length);   // two shapes, two types
        Assert.All(rows, row => Assert.True((double)row["microseconds"]! > 0));
        JsonNode large = rows.Single(row => (string)row["label"]! == "residual" && (string)row["type"]! == "bf16");
        Assert.Equal(2 * 6 * 2048 * 256, (long)large["bytes"]!);
        Assert.Equal(2.0 * 6 * 2048 * 256 / (2 * 1593e6 * 5120 / 8) * 1e6, (double)large["floor_microseconds"]!, 1e-6);   // the stand-in's memory clock and bus
        Assert.Matches(@"add +residual \(2048x256\) +bf16 +forward +[\d,.]+ +[\d,]+ GB/s +[\d.]+ +\d+%", time.Out);
    }

    [Fact]
    public void Backward_is_timed_where_there_is_one() =>
        Assert.Contains(
            Run(new KernelRequest { Name = "gelu", Times = true, TimesStandIn = true }).Json["timings"]!.AsArray(), row => (string)row!["pass"]! == "backward");

    [Fact]
    public void Without_a_card_nothing_is_timed()
    {
        cuda.Open().Dispose();
        Refused(new KernelRequest { Name = "add", Times = true }, "kernel --time", "no CUDA card");
        Refused(new KernelRequest { Name = "add", Versus = "old.cu" }, "kernel --versus", "no CUDA card");
        Refused(new KernelRequest { Name = "add", Checks = true, Device = "cuda" }, "--device cuda", "no CUDA card", "--device stand-in");
        Refused(new KernelRequest { Name = "add", Checks = true, Device = "gpu" }, "--device gpu", "cuda:N");
    }

    [Fact]
    public void An_old_version_is_checked_and_timed_beside_the_new_one()
    {
        using KernelCopy copy = new(cuda);
        string old = Path.Combine(copy.Path, "before.txt");
        File.WriteAllText(old, File.ReadAllText(Path.Combine(copy.Path, "fill.cu")).Replace("bits, bits, bits, bits", "0, bits, bits, bits"));
        Result versus = Run(new KernelRequest { Name = "fill", Versus = old, TimesStandIn = true, Folder = copy.Path });
        Assert.Equal(1, versus.ExitCode);   // the old one is wrong, the new one right
        JsonNode[] checks = [.. versus.Json["checks"]!.AsArray().OfType<JsonNode>()];
        Assert.All(checks.Where(row => (string)row["version"]! == "new"), row => Assert.True((bool)row["right"]!));
        Assert.Contains(checks, row => (string)row["version"]! == "old" && !(bool)row["right"]!);
        JsonNode timing = versus.Json["timings"]!.AsArray()[0]!;
        Assert.Equal((double)timing["old_microseconds"]! / (double)timing["microseconds"]!, (double)timing["ratio"]!, 1e-9);
        Assert.Contains("old/new", versus.Out);
        Refused(new KernelRequest { Name = "fill", Versus = old + "x", TimesStandIn = true, Folder = copy.Path }, "before.txtx", "no such file");
        Refused(new KernelRequest { IsAll = true, Versus = old, TimesStandIn = true, Folder = copy.Path }, "--versus", "name the one kernel");
    }

    [Fact]
    public async Task A_watch_prints_errors_whole_and_goes_on_at_each_save()
    {
        using KernelCopy copy = new(cuda);
        using CancellationTokenSource stop = new();
        SharedWriter output = new(), error = new();
        Task<int> watch = Task.Run(() => KernelVerb.Run(new KernelRequest { Name = "fill", Watches = true, Folder = copy.Path }, output, error, [], stop.Token));
        await Until(() => output.Text.Contains("Waiting"), watch);
        Assert.DoesNotContain("OFF", output.Text);
        copy.Edit("fill", "long long at = 8", "long long at = nonsense");
        await Until(() => output.Text.Split("Waiting").Length == 3, watch);
        Assert.Contains("fill.cu does not compile:", error.Text);
        Assert.Contains("identifier \"nonsense\" is undefined", error.Text);
        copy.Edit("fill", "long long at = nonsense", "long long at = 8");
        await Until(() => output.Text.Split("Waiting").Length == 4, watch);
        Assert.Equal(2 * ChecksOfFill(), output.Text.Split('\n').Count(line => line.EndsWith("right")));   // twice
        stop.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watch);
    }

    [Fact]
    public void Wrong_input_is_one_sentence()
    {
        Refused(new KernelRequest { Name = "rms_nrom", Lists = true }, "rms_nrom", "did you mean rms_norm");
        Refused(new KernelRequest { Checks = true }, "--all");
        Refused(new KernelRequest { Name = "add", IsAll = true, Lists = true }, "--all", "not both");
        Refused(new KernelRequest { Name = "add", Checks = true, Shape = "8192" }, "--shape 8192", "add has 2 sizes", "2048x256");
        Refused(new KernelRequest { Name = "add", Checks = true, Shape = "8192xmany" }, "--shape 8192xmany", "8192x4096");
        Refused(new KernelRequest { Name = "add", Lists = true, Folder = "nowhere" }, "nowhere", "qs.cuh");
    }

    [Fact]
    public async Task The_command_line_checks_on_the_stand_in_and_refuses_a_card_that_is_not_there()
    {
        cuda.Open().Dispose();
        using TemporaryFolder folder = new();
        string[] withoutDriver = ["QSHARP_CUDA_LIBRARY=none", "dotnet", Path.Combine(AppContext.BaseDirectory, "qsharp.dll")];
        CliResult check = await CliRun.Other("env", [.. withoutDriver, "kernel", "advance", "--check", "--json"]);
        check.Done();
        Assert.All(JsonNode.Parse(check.Out)!["checks"]!.AsArray(), row => Assert.True((bool)row!["right"]!));
        string path = folder["list.json"];
        CliResult list = await CliRun.Other("env", [.. withoutDriver, "kernel", "add", "--list", "--json", path]);
        Assert.Equal((0, ""), (list.ExitCode, list.Error));
        Assert.Contains("registers", list.Out);
        Assert.Equal(8, JsonNode.Parse(File.ReadAllText(path))!["kernels"]!.AsArray().Count);
        CliResult refused = await CliRun.Other("env", [.. withoutDriver, "kernel", "add", "--check", "--device", "cuda"]);
        refused.Refused("--device cuda", "no CUDA card");
        CliResult missing = await CliRun.Other("env", ["QSHARP_NVRTC_LIBRARY=none", .. withoutDriver, "kernel", "--list"]);
        missing.Refused("nvrtc", "QSHARP_NVRTC_LIBRARY");
        CliResult devices = await CliRun.Other("env", ["QSHARP_NVRTC_LIBRARY=none", .. withoutDriver, "devices"]);
        Assert.Equal((0, ""), (devices.ExitCode, devices.Error));
        Assert.Contains("no driver", devices.Out);
        Assert.Contains("nvrtc   not found: tried none; it is part of the CUDA toolkit", devices.Out);
    }

    [Fact]
    public void Devices_tells_a_card_and_where_its_libraries_are()
    {
        using (CudaDevice device = cuda.Open())
        {
            using StringWriter text = new();
            DevicesVerb.Run(isJson: false, text);
            Assert.Contains(device.Properties.Name + ", compute capability 9.0, ", text.ToString());
            Assert.Contains("kernels compile for it", text.ToString());
        }
        using StringWriter json = new();
        DevicesVerb.Run(isJson: true, json);
        JsonNode document = JsonNode.Parse(json.ToString())!;
        Assert.Equal("cuda", (string)document["devices"]![1]!["name"]!);
        Assert.True((int)document["devices"]![1]!["free_mib"]! > 0);
        Assert.Equal(["cuda", "nvrtc", "cublas"], document["libraries"]!.AsArray().Select(library => (string)library!["name"]!));
        Assert.Matches(@"^\d+\.\d+$", (string)document["nvrtc"]!);
    }

    private Result Run(KernelRequest request)
    {
        cuda.Open().Dispose();   // skips where there is no stand-in
        using StringWriter output = new(), error = new();
        JsonObject json = [];
        int code = KernelVerb.Run(request, output, error, json, TestContext.Current.CancellationToken);
        return new Result(code, output.ToString(), error.ToString(), json);
    }

    private static void Refused(KernelRequest request, params string[] names)
    {
        UserException wrong = Assert.Throws<UserException>(() => KernelVerb.Run(request, TextWriter.Null, TextWriter.Null, [], TestContext.Current.CancellationToken));
        Sentence.Assert(wrong.Message, names);
    }

    private static async Task Until(Func<bool> holds, Task watch)
    {
        for (int i = 0; i < 1800 && !holds(); i++)
        {
            if (watch.IsCompleted) await watch;
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }
        Assert.True(holds());
    }

    /// <summary>A writer that another thread may read.</summary>
    private sealed class SharedWriter : StringWriter
    {
        public string Text
        {
            get
            {
                lock (this) return ToString();
            }
        }

        public override void Write(char value)
        {
            lock (this) base.Write(value);
        }

        public override void Write(string? value)
        {
            lock (this) base.Write(value);
        }

        public override void Write(char[] buffer, int index, int count)
        {
            lock (this) base.Write(buffer, index, count);
        }

        public override void WriteLine(string? value)
        {
            lock (this) base.WriteLine(value);
        }
    }

    /// <summary>A copy of the repository's kernels that a test may edit; in one place for all, as the stand-in's cache tells builds apart by path.</summary>
    private sealed class KernelCopy : IDisposable
    {
        public KernelCopy(CudaFixture cuda)
        {
            cuda.Open().Dispose();
            string from = System.IO.Path.Combine(Repository.Root, "kernels-cu");
            Dispose();
            foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
            {
                string to = System.IO.Path.Combine(Path, System.IO.Path.GetRelativePath(from, file));
                Directory.CreateDirectory(System.IO.Path.GetDirectoryName(to)!);
                File.Copy(file, to);
            }
        }

        public string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "edited-kernels");

        public void Edit(string kernel, string from, string to)
        {
            string path = System.IO.Path.Combine(Path, kernel + ".cu"), text = File.ReadAllText(path);
            Assert.Contains(from, text);
            File.WriteAllText(path, text.Replace(from, to));
        }

        public void Dispose()
        {
            if (Directory.Exists(Path)) Directory.Delete(Path, recursive: true);
        }
    }
}
