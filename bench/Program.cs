using BenchmarkDotNet.Running;

using QSharp.Bench;

if (args is ["gemm", ..]) GemmBench.Run(args[1..]);
else if (args is ["decode", ..]) DecodeBench.Run(args[1..]);
else if (args is ["generate", ..]) GenerateBench.Run(args[1..]);
else if (args is ["tilt", ..]) TiltBench.Run();
else if (args is ["grade", ..]) GradeBench.Run();
else BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
