using System.Diagnostics;
using AwqQuantize.Build;

namespace AwqQuantize.Tests.Build;

public sealed class ElfVersionNeedsTests
{
    private const string New = "GLIBCXX_3.4.32";
    private const string Marker = "_ZSt21ios_base_library_initv";

    private static SyntheticElf Library() => new SyntheticElf()
        .Needs("libc.so.6", ("GLIBC_2.34", 0, 2), ("GLIBC_2.4", 0, 3))
        .Needs("libstdc++.so.6", ("GLIBCXX_3.4.30", 0, 4), (New, 0, 5), ("CXXABI_1.3", 0, 6))
        .Symbol("", 0).Symbol("malloc", 2).Symbol(Marker, 5).Symbol("_ZdlPv", 4);

    [Fact]
    public void ReadsEveryNeedWithItsSymbols()
    {
        var needs = new ElfVersionNeeds(Library().Write()).Needs;
        Assert.Equal(["GLIBC_2.34", "GLIBC_2.4", "GLIBCXX_3.4.30", New, "CXXABI_1.3"], needs.Select(n => n.Version));
        Assert.All(needs, n => Assert.False(n.IsWeak));
        Assert.Equal([Marker], needs[3].Symbols);
        Assert.Empty(needs[1].Symbols);
    }

    [Fact]
    public void WeakensOneFlagAndNothingElse()
    {
        var image = Library().Write();
        var before = image.ToArray();
        Assert.Equal(1, new ElfVersionNeeds(image).Weaken(New, [Marker]));
        var changed = Enumerable.Range(0, image.Length).Where(i => image[i] != before[i]).ToList();
        Assert.Equal(2, image[Assert.Single(changed)]);
        Assert.Equal([New], new ElfVersionNeeds(image).Needs.Where(n => n.IsWeak).Select(n => n.Version));
        Assert.Equal(0, new ElfVersionNeeds(image).Weaken(New, [Marker]));
    }

    [Fact]
    public void LeavesALibraryWithoutTheNeedAlone()
    {
        var image = Library().Write();
        var before = image.ToArray();
        Assert.Equal(0, new ElfVersionNeeds(image).Weaken("GLIBCXX_3.4.99", [Marker]));
        Assert.Equal(before, image);
    }

    [Fact]
    public void RefusesAVersionThatARealSymbolNeeds()
    {
        var image = Library().Symbol("_ZNSt6thread4joinEv", 0x8005).Write();
        var error = Assert.Throws<InvalidDataException>(() => new ElfVersionNeeds(image).Weaken(New, [Marker]));
        Assert.Contains("_ZNSt6thread4joinEv", error.Message);
    }

    [Fact]
    public void RefusesWhatIsNoElfLibrary()
    {
        Assert.Throws<InvalidDataException>(() => new ElfVersionNeeds("MZ"u8.ToArray()));
        var image = Library().Write();
        image[4] = 1;
        Assert.Contains("64-bit", Assert.Throws<InvalidDataException>(() => new ElfVersionNeeds(image)).Message);
    }

    [Fact]
    public void EveryTruncationIsAnErrorOfOurs()
    {
        var image = Library().Write();
        for (var length = 0; length < image.Length; length++)
            Assert.Throws<InvalidDataException>(() => new ElfVersionNeeds(image[..length]).Needs);
    }

    [Fact]
    public void DamagedTablesNeverEscapeTheFile()
    {
        var random = new Random(7);
        var good = Library().Write();
        for (var trial = 0; trial < 5000; trial++)
        {
            var image = good.ToArray();
            for (var i = random.Next(1, 6); i > 0; i--)
                image[random.Next(image.Length)] = (byte)random.Next(256);
            try
            {
                _ = new ElfVersionNeeds(image).Needs;
            }
            catch (Exception e)
            {
                Assert.True(e is InvalidDataException or OverflowException, e.ToString());
            }
        }
    }

    [Fact]
    public void TheStagedLibraryNeedsTheVersionWeaklyAndThePackagedOneDid()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("libLibTorchSharp.so is staged on Linux only");
        var staged = Path.Combine(StagedModule.Natives, "libLibTorchSharp.so");
        var packaged = Directory.GetFiles(Path.Combine(StagedModule.Metadata("PackageRoot"), "torchsharp"), "libLibTorchSharp.so", SearchOption.AllDirectories)
            .Single(f => new FileInfo(f).Length == new FileInfo(staged).Length);
        var original = new ElfVersionNeeds(File.ReadAllBytes(packaged)).Needs;
        var patched = new ElfVersionNeeds(File.ReadAllBytes(staged)).Needs;
        Assert.False(original.Single(n => n.Version == New).IsWeak);
        Assert.Equal([New], patched.Where(n => n.IsWeak).Select(n => n.Version));
        Assert.Equal(original.Select(n => n.Version), patched.Select(n => n.Version));
    }

    [Fact]
    public void ReadelfSeesTheWeakNeed()
    {
        if (!OperatingSystem.IsLinux() || !File.Exists("/usr/bin/readelf"))
            Assert.Skip("readelf is not there");
        var start = new ProcessStartInfo("/usr/bin/readelf") { RedirectStandardOutput = true };
        foreach (var argument in (string[])["-V", "--wide", Path.Combine(StagedModule.Natives, "libLibTorchSharp.so")])
            start.ArgumentList.Add(argument);
        using var readelf = Process.Start(start)!;
        var lines = readelf.StandardOutput.ReadToEnd().Split('\n').Where(l => l.Contains("Name: " + New)).ToList();
        readelf.WaitForExit();
        Assert.Contains("Flags: WEAK", Assert.Single(lines));
    }
}
