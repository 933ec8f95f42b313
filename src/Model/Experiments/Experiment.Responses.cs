using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>Opens the file of an evaluation's finished responses; what it finds there was drawn by the very same evaluation.</summary>
    /// <param name="policies">What is evaluated.</param>
    /// <param name="more">What else shapes the responses and what is known of them.</param>
    /// <exception cref="UserException">It was another one.</exception>
    private ResponseFile OpenResponses(
        string path, LanguageModel reference, IGuide? guide, IEnumerable<object> policies, Problem[] problems, int samples, string more)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add($"seed {seed}; {Task.Settings}; stops {string.Join(',', Task.Stops)}; {samples} samples; {recipe.Candidates} candidates; {more}");
        Add($"{ModelFolder.Fingerprint(reference)} {reference.Weights.MatrixType}");
        Add($"{(guide is null ? "no guide" : GuideFolder.Fingerprint(guide))}");
        foreach (object policy in policies) Add($"{policy}");
        foreach (Problem problem in problems)
        {
            Add($"{problem.Prompt.Length}");
            hash.AppendData(MemoryMarshal.AsBytes<int>(problem.Prompt));
        }
        ResponseFile file = ResponseFile.Open(path, Convert.ToHexStringLower(hash.GetHashAndReset()));
        if (file.DroppedBytes > 0) progress.Note($"{path}: dropped {file.DroppedBytes} bytes of a response that was cut short.");
        return file;

        void Add(FormattableString text) => hash.AppendData(Encoding.UTF8.GetBytes(FormattableString.Invariant(text) + "\n"));
    }
}
