using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Parameters as safetensors under their own names, for the state of a run; models for others go through <see cref="ModelFolder"/>.</summary>
internal static class NativeTensors
{
    public static IEnumerable<SafeTensorsSource> Sources(Parameters parameters, string prefix = "")
    {
        foreach ((string name, Tensor value, _) in parameters.Named)
            yield return SafeTensorsSource.FromFloats(prefix + name, TensorValues.Shape(value), TensorValues.Read(value));
    }

    /// <exception cref="UserException">A tensor is missing, has another shape, or holds what is no number.</exception>
    public static void Load(SafeTensorsFile file, Parameters parameters, string prefix = "")
    {
        foreach ((string name, Tensor value, _) in parameters.Named)
        {
            SafeTensorsEntry entry = file.Find(prefix + name);
            if (!entry.Shape.AsSpan().SequenceEqual(TensorValues.Shape(value)))
                throw new UserException($"{file.Path}: {prefix + name} is [{string.Join(", ", entry.Shape)}], but this model needs {value.Shape}; it belongs to another model.");
            float[] values = new float[value.Count];
            file.CopyTo(entry, values);
            TensorValues.RequireFinite(values, file.Path, prefix + name);
            TensorValues.Write(values, value);
        }
    }
}
