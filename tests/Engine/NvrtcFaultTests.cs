using QSharp.Engine;
using QSharp.Tests.Cli;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>
/// Every call that compiling a kernel makes of NVRTC fails once. The failing NVRTC is a library of a few lines that passes calls
/// on to the real one; the command line runs in a process of its own, as this one has loaded NVRTC already.
/// </summary>
public sealed class NvrtcFaultTests : IDisposable
{
    private const string Shim = """
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        static int made, destroyed;
        static void* real(const char* name) {
            static void* library = dlopen(getenv("REAL_NVRTC"), RTLD_NOW);
            return dlsym(library, name);
        }
        static int fails(const char* name) { return !strcmp(name, getenv("FAIL")); }
        __attribute__((destructor)) static void end() {
            FILE* log = fopen(getenv("PROGRAMS"), "w");
            fprintf(log, "%d %d", made, destroyed);
            fclose(log);
        }
        #define PASS(name, parameters, ...) \
            extern "C" int name parameters { return fails(#name) ? CODE : ((int(*) parameters)real(#name))(__VA_ARGS__); }
        #define CODE atoi(getenv("CODE"))
        PASS(nvrtcVersion, (int* a, int* b), a, b)
        PASS(nvrtcGetNumSupportedArchs, (int* a), a)
        PASS(nvrtcGetSupportedArchs, (int* a), a)
        PASS(nvrtcCompileProgram, (void* p, int n, const char** o), p, n, o)
        PASS(nvrtcGetProgramLogSize, (void* p, size_t* n), p, n)
        PASS(nvrtcGetProgramLog, (void* p, char* t), p, t)
        PASS(nvrtcGetPTXSize, (void* p, size_t* n), p, n)
        PASS(nvrtcGetPTX, (void* p, char* t), p, t)
        PASS(nvrtcGetCUBINSize, (void* p, size_t* n), p, n)
        PASS(nvrtcGetCUBIN, (void* p, char* t), p, t)
        extern "C" const char* nvrtcGetErrorString(int e) { return ((const char* (*)(int))real("nvrtcGetErrorString"))(e); }
        extern "C" int nvrtcCreateProgram(void** p, const char* s, const char* n, int c, const char** h, const char** i) {
            if (fails("nvrtcCreateProgram")) return CODE;
            made++;
            return ((int(*)(void**, const char*, const char*, int, const char**, const char**))real("nvrtcCreateProgram"))(p, s, n, c, h, i);
        }
        extern "C" int nvrtcDestroyProgram(void** p) {
            destroyed++;
            int result = ((int(*)(void**))real("nvrtcDestroyProgram"))(p);
            return fails("nvrtcDestroyProgram") ? CODE : result;
        }
        """;

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Each_call_fails_in_one_sentence_and_leaves_no_program_behind()
    {
        string? nvrtc = Libraries.Report().Single(library => library.Name == "nvrtc").Found;
        Assert.SkipWhen(OperatingSystem.IsWindows() || nvrtc is null, "It needs NVRTC and g++.");
        File.WriteAllText(_folder["shim.cpp"], Shim);
        CliResult built = await CliRun.Other("g++", ["-shared", "-fPIC", "-o", _folder["shim.so"], _folder["shim.cpp"], "-ldl"]);
        Assert.True(built.ExitCode == 0, built.Error);
        string[] opening = ["nvrtcVersion", "nvrtcGetNumSupportedArchs", "nvrtcGetSupportedArchs"];
        string[] compiling = ["nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetProgramLogSize", "nvrtcGetProgramLog"];
        foreach (string function in (string[])[.. opening, .. compiling, "nvrtcGetCUBINSize", "nvrtcGetCUBIN"])
            await Fails(nvrtc!, "--list", function, compiling.Contains(function) || function.Contains("CUBIN", StringComparison.Ordinal));
        foreach (string function in (string[])["nvrtcGetPTXSize", "nvrtcGetPTX"]) await Fails(nvrtc!, "--ptx", function, namesFile: true);
        (CliResult whole, string programs) = await Run(nvrtc!, "--list", "nvrtcDestroyProgram");   // giving back never fails
        Assert.True(whole.ExitCode == 0, whole.Error);
        Assert.NotEqual("0 0", programs);
        Assert.Equal(programs.Split(' ')[0], programs.Split(' ')[1]);
    }

    public void Dispose() => _folder.Dispose();

    private async Task Fails(string nvrtc, string what, string function, bool namesFile)
    {
        (CliResult result, string programs) = await Run(nvrtc, what, function);
        Assert.True(result.ExitCode == 1, $"{function}: {result.ExitCode} {result.Error}");
        Sentence.Assert(result.Error.TrimEnd('\n'), namesFile ? [function, "NVRTC_ERROR", "fill.cu"] : [function, "NVRTC_ERROR"]);
        Assert.True(programs.Split(' ')[0] == programs.Split(' ')[1], $"{function}: programs made and destroyed: {programs}");
        Assert.False(Directory.Exists(_folder["cache"]) && Directory.EnumerateFiles(_folder["cache"]).Any(), function);
    }

    private async Task<(CliResult Result, string Programs)> Run(string nvrtc, string what, string function)
    {
        Dictionary<string, string> environment = new()
        {
            ["QSHARP_NVRTC_LIBRARY"] = _folder["shim.so"],
            ["QSHARP_CUDA_LIBRARY"] = "none",
            ["QSHARP_CACHE"] = _folder["cache"],
            ["QSHARP_KERNELS"] = Path.Combine(Repository.Root, "kernels-cu"),
            ["REAL_NVRTC"] = nvrtc,
            ["FAIL"] = function,
            ["CODE"] = "3",
            ["PROGRAMS"] = _folder["programs"],
        };
        using CliRun run = CliRun.Start(_folder.Path, environment, ["kernel", "fill", what]);
        return (await run.End(), File.ReadAllText(_folder["programs"]));
    }
}
