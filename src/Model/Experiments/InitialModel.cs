using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The language model that guides start from where it is not their reference: a smaller one with the same tokenizer, as in the paper,
/// whose value models of 1B steer references of 8B and 70B (method notes §2.3). Its weights are read anew for each guide.
/// </summary>
public sealed class InitialModel : IDisposable
{
    private readonly ModelFiles _files;
    private readonly ITask _task;

    private InitialModel(ModelFiles files, ITask task) => (_files, _task) = (files, task);

    /// <param name="path">A folder, a GGUF file, or org/name.</param>
    /// <param name="reference">π_ref's files where the task is one of text; its tokenizer is compared. Else null.</param>
    /// <exception cref="UserException">There is no such model, or it does not read the reference's tokens.</exception>
    public static InitialModel Open(string path, ITask task, ModelFiles? reference)
    {
        ModelFiles files = ModelFiles.Open(path);
        try
        {
            if (reference is not null && task.IsText) TokenizerMatch.Require(files.Tokenizer, files.Path, reference.Tokenizer, reference.Path);
            return new InitialModel(files, task);
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    public int Layers => _files.Transformer.Layers;

    public LanguageModel Load(Ops ops) => ModelFolder.LoadLanguageModel(ops, _files, _task, WeightFormat.Auto);

    public void Dispose() => _files.Dispose();
}
