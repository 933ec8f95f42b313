namespace QSharp.Engine;

/// <summary>The kernels that a device has loaded. Compiles and loads one at its first use; afterwards a look-up that allocates nothing.</summary>
public sealed unsafe class KernelCache
{
    private readonly record struct Key(string File, string Function, string Variant);

    private readonly CudaDevice _device;
    private readonly KernelCompiler _compiler;
    private readonly Dictionary<Key, Kernel> _kernels = [];
    private readonly Dictionary<(string File, string Variant), nint> _modules = [];

    internal KernelCache(CudaDevice device, KernelFolder folder)
    {
        _device = device;
        _compiler = new KernelCompiler(folder, device.Properties.Architecture);
    }

    public KernelCompiler Compiler => _compiler;

    /// <summary>The files whose kernels have been used.</summary>
    public IReadOnlyCollection<string> Files => [.. _modules.Keys.Select(key => key.File).Distinct().Order(StringComparer.Ordinal)];

    /// <summary>The kernel <paramref name="function"/> of <paramref name="file"/>.cu.</summary>
    /// <param name="variant">The definitions that it is compiled with: "T=bf16"; "" for none.</param>
    public Kernel Get(string file, string function, string variant)
    {
        Key key = new(file, function, variant);
        return _kernels.TryGetValue(key, out Kernel? kernel) ? kernel : Load(key);
    }

    internal void Unload()
    {
        foreach (nint module in _modules.Values) _device.Release(() => CuDriver.cuModuleUnload(module));
        _modules.Clear();
        _kernels.Clear();
    }

    private Kernel Load(Key key)
    {
        if (_device.IsCapturing) throw new InvalidOperationException($"The kernel {key.Function} would be loaded inside a recorded step.");
        _device.MakeCurrent();
        if (!_modules.TryGetValue((key.File, key.Variant), out nint module))
        {
            KernelSource source = _compiler.Folder.Read(key.File);
            CompiledKernels compiled = _compiler.Compile(source, key.Variant);
            StandIn.Provide(_compiler.Folder, source, key.Variant);
            fixed (byte* image = compiled.Image)
                _device.Check(CuDriver.cuModuleLoadDataEx(out module, image, 0, null, null), nameof(CuDriver.cuModuleLoadDataEx), $"for {source.Path}");
            _modules.Add((key.File, key.Variant), module);
        }
        string name = key.Function + KernelSource.Suffix(key.Variant);
        _device.Check(CuDriver.cuModuleGetFunction(out nint function, module, name), nameof(CuDriver.cuModuleGetFunction), $"for {name} in {key.File}.cu");
        return _kernels[key] = new Kernel(_device, name, function);
    }
}
