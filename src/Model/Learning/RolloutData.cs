using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace QSharp.Model;

/// <summary>Roll-outs to learn from, and how π_ref was sampled for them.</summary>
/// <param name="Train">Those of the problems that are learned from.</param>
/// <param name="HeldOut">Those of the problems that tell which parameters to keep; may be none.</param>
/// <param name="Hidden">The files of hidden states, one after another; null where none were stored.</param>
/// <param name="FirstStates">For each sample, by its number, the row of its response's first hidden state.</param>
/// <param name="Problems">Of the whole data set.</param>
/// <param name="DroppedProblems">Those of them whose samples all had the same reward, where such are left out.</param>
/// <param name="HiddenLayer">Layer of the hidden states; see <see cref="CollectSettings.HiddenLayer"/>.</param>
/// <param name="IsSwitched">See <see cref="RolloutSet.IsSwitched"/>.</param>
public sealed record RolloutData(
    List<Rollout> Train, List<Rollout> HeldOut, float Temperature, float TopP, IReadOnlyList<HiddenPart>? Hidden, long[] FirstStates, int Problems = 0,
    int DroppedProblems = 0, int HiddenLayer = 0, bool IsSwitched = false)
{
    /// <summary>SHA-256 over the roll-outs, in hexadecimal: what a run that learns from them is bound to.</summary>
    public string Fingerprint()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (Rollout rollout in Train.Concat(HeldOut))
        {
            hash.AppendData(Encoding.UTF8.GetBytes(FormattableString.Invariant($"{rollout.Sample} {rollout.Problem} {rollout.PromptLength} {rollout.Kept} {rollout.Lambda} {rollout.Reward} {rollout.Tokens.Length}:")));
            hash.AppendData(MemoryMarshal.AsBytes<int>(rollout.Tokens));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>All of it to learn from, in the order of the samples: for methods that choose no parameters by held-out problems.</summary>
    public RolloutData WithoutHeldOut() => this with { Train = [.. Train.Concat(HeldOut).OrderBy(rollout => rollout.Sample)], HeldOut = [] };

    /// <summary>The same with other rewards.</summary>
    public RolloutData With(Func<Rollout, Rollout> change) => this with { Train = [.. Train.Select(change)], HeldOut = [.. HeldOut.Select(change)] };
}
