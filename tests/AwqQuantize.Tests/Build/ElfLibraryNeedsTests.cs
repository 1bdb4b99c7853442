using System.Diagnostics;
using AwqQuantize.Build;

namespace AwqQuantize.Tests.Build;

public sealed class ElfLibraryNeedsTests
{
    private static byte[] Library() => new SyntheticElf().Library("libtorch.so").Library("libc10.so").Library("libtorch_cpu.so").Symbol("", 0).Write();

    [Fact]
    public void ReadsTheNamesInTheirOrder() => Assert.Equal(["libtorch.so", "libc10.so", "libtorch_cpu.so"], new ElfLibraryNeeds(Library()).Names);

    [Fact]
    public void OneTakesThePlaceOfAnother()
    {
        var image = Library();
        Assert.Equal(1, new ElfLibraryNeeds(image).Replace("libtorch.so", "libtorch_cpu.so"));
        Assert.Equal(["libtorch_cpu.so", "libc10.so", "libtorch_cpu.so"], new ElfLibraryNeeds(image).Names);
        Assert.Equal(0, new ElfLibraryNeeds(image).Replace("libtorch.so", "libtorch_cpu.so"));
    }

    [Fact]
    public void WhatIsNotNeededCannotTakeAPlace() =>
        Assert.Contains("libgone.so", Assert.Throws<InvalidDataException>(() => new ElfLibraryNeeds(Library()).Replace("libtorch.so", "libgone.so")).Message);

    [Fact]
    public void EveryTruncationIsAnErrorOfOurs()
    {
        var image = Library();
        for (var length = 0; length < image.Length; length++)
            Assert.Throws<InvalidDataException>(() => new ElfLibraryNeeds(image[..length]).Names);
    }

    [Fact]
    public void ReadelfSeesThatTheStagedLibraryNeedsTheCpusHalfAlone()
    {
        if (!OperatingSystem.IsLinux() || !File.Exists("/usr/bin/readelf"))
            Assert.Skip("readelf is not there");
        var start = new ProcessStartInfo("/usr/bin/readelf") { RedirectStandardOutput = true };
        foreach (var argument in (string[])["-d", "--wide", Path.Combine(StagedModule.Natives, "libLibTorchSharp.so")])
            start.ArgumentList.Add(argument);
        using var readelf = Process.Start(start)!;
        var lines = readelf.StandardOutput.ReadToEnd().Split('\n').Where(l => l.Contains("(NEEDED)")).ToList();
        readelf.WaitForExit();
        Assert.Contains(lines, l => l.Contains("[libtorch_cpu.so]"));
        Assert.DoesNotContain(lines, l => l.Contains("[libtorch.so]"));
    }
}
