using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Engine;

/// <summary>Which of several NVRTCs and cuBLASes is taken, and what NVRTC is asked to compile for.</summary>
public sealed class LibrariesTests
{
    [Fact]
    public void A_library_that_is_newer_than_the_driver_comes_last_wherever_it_lies()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Names are those of Linux.");
        using TemporaryFolder folder = new();
        foreach (string file in (string[])["libnvrtc.so.13", "libnvrtc.so.12"]) File.WriteAllText(folder[file], "");
        string[] Order(int driver) => [.. Libraries.Candidates(Libraries.Nvrtc, driver, [folder.Path]).Select(path => path.Replace(folder.Path, "HERE"))];
        string[] old = Order(12), newer = Order(13);
        Assert.Equal(["libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so", "HERE/libnvrtc.so.12", "libnvrtc.so.13", "HERE/libnvrtc.so.13"], old);
        Assert.Equal(["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so", "HERE/libnvrtc.so.13", "HERE/libnvrtc.so.12"], newer);
        Assert.Equal(newer, Order(0));
    }

    [Theory]
    [InlineData(90, "sm_90", false)]
    [InlineData(103, "compute_101", true)]    // between two that NVRTC knows
    [InlineData(130, "compute_120", true)]
    public void A_card_that_nvrtc_does_not_know_gets_ptx_of_the_newest_architecture_before_it(int card, string name, bool isPtx) =>
        Assert.Equal((name, isPtx), KernelCompiler.Target(card, [80, 90, 100, 101, 120]));

    [Fact]
    public void A_card_that_nvrtc_no_longer_knows_is_refused() =>
        Sentence.Assert(Assert.Throws<UserException>(() => KernelCompiler.Target(80, [90, 100])).Message, "8.0", "9.0", "--device cpu");
}
