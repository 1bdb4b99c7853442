using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Reports;

namespace AwqQuantize.Engine.Tests.Reports;

/// <summary>The report as a browser shows it. Skipped, with the reason, where there is no Chromium.</summary>
public sealed partial class BrowserTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public BrowserTests() =>
        folder.Write("report.html", HtmlReport.Render(SampleReport.Report, SampleReport.Test, [SampleReport.Test.Measurement!]));

    public void Dispose() => folder.Dispose();

    /// <summary>The page's own colours, from its style sheet: paper, and the first two lines of a chart.</summary>
    [Theory]
    [InlineData("light", 1, 0xfcfcfa, 0x2563a8, 0xb4530b)]
    [InlineData("dark", 0, 0x14171a, 0x79b0ee, 0xf0a35e)]
    public void FollowsTheSchemeAndDrawsItsCharts(string scheme, int preferred, int paper, int first, int second)
    {
        var file = folder.File(scheme + ".png");
        var said = Browse($"--blink-settings=preferredColorScheme={preferred}", "--window-size=1100,2400", $"--screenshot={file}");
        Assert.DoesNotContain("CONSOLE", said);
        var seen = new Picture(file);
        Assert.Equal((1100, 2400), (seen.Width, seen.Height));
        // The margins are bare paper on both sides: nothing is wider than the page.
        for (var y = 0; y < seen.Height; y += 7)
            Assert.Equal((paper, paper), (seen[3, y], seen[seen.Width - 4, y]));
        Assert.InRange(seen.Count(paper), 1100 * 2400 / 10, 1100 * 2400);
        // Lines, their points and the legend.
        Assert.True(seen.Count(first) > 300 && seen.Count(second) > 300, $"{seen.Count(first)} and {seen.Count(second)} pixels of the lines");
        if (Environment.GetEnvironmentVariable("AWQ_TEST_SCREENSHOTS") is { Length: > 0 } keep)
            File.Copy(file, Path.Combine(keep, Path.GetFileName(file)), overwrite: true);
    }

    [Fact]
    public void ANarrowWindowCutsNothingOff()
    {
        var file = folder.File("narrow.png");
        Browse("--blink-settings=preferredColorScheme=1", "--window-size=520,3000", $"--screenshot={file}");
        var seen = new Picture(file);
        for (var y = 0; y < seen.Height; y += 7)
            Assert.Equal(0xfcfcfa, seen[seen.Width - 4, y]);
    }

    [Fact]
    public void PrintsOnPages()
    {
        var file = folder.File("report.pdf");
        Browse("--blink-settings=preferredColorScheme=0", "--no-pdf-header-footer", $"--print-to-pdf={file}");
        var pdf = Encoding.Latin1.GetString(File.ReadAllBytes(file));
        Assert.StartsWith("%PDF-", pdf);
        Assert.InRange(Page().Count(pdf), 2, 12);
    }

    private string Browse(params string[] arguments)
    {
        var chromium = ((string[])["chromium", "chromium-browser", "google-chrome"]).SelectMany(n => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(p => Path.Combine(p, n))).FirstOrDefault(File.Exists);
        if (chromium is null)
            Assert.Skip("There is no Chromium here: apt-get install chromium.");
        var start = new ProcessStartInfo(chromium!)
        {
            RedirectStandardError = true, RedirectStandardOutput = true,
            // Offline, whatever the page might ask for.
            ArgumentList = { "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", $"--user-data-dir={folder.File("profile")}" },
        };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        start.ArgumentList.Add(new Uri(folder.File("report.html")).AbsoluteUri);
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var said = process.StandardError.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)), "Chromium did not come to an end.");
        _ = output.Result;
        Assert.True(process.ExitCode == 0, said);
        return said;
    }

    [GeneratedRegex(@"/Type\s*/Page\b(?!s)")]
    private static partial Regex Page();
}
