using System.Globalization;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Reports;

namespace AwqQuantize.Engine.Tests.Reports;

public sealed partial class HtmlReportTests
{
    [GeneratedRegex("""<(script|link|img|iframe|object)\b|\bsrc=|\bhref=|url\(|@import""", RegexOptions.IgnoreCase)]
    private static partial Regex Outside { get; }

    [GeneratedRegex("""<(/?)([a-z0-9]+)[^>]*?(/?)>""")]
    private static partial Regex Tag { get; }

    private static string Full => HtmlReport.Render(SampleReport.Report, SampleReport.Test);

    [Fact]
    public void NeedsNothingButItself() => Assert.DoesNotMatch(Outside, Full);

    [Fact]
    public void EveryElementIsClosed()
    {
        var open = new Stack<string>();
        foreach (Match tag in Tag.Matches(Full[Full.IndexOf("<html", StringComparison.Ordinal)..]))
        {
            var name = tag.Groups[2].Value;
            if (name == "meta" || tag.Groups[3].Length > 0)
                continue;
            if (tag.Groups[1].Length == 0)
                open.Push(name);
            else
                Assert.Equal(open.Pop(), name);
        }
        Assert.Empty(open);
    }

    [Fact]
    public void TextIsNeverMarkup()
    {
        Assert.Contains("Toy &lt;b&gt;&amp;&lt;/b&gt; Model", Full);
        Assert.Contains("there was a &lt;little&gt; girl", Full);
        Assert.DoesNotContain("<b>&", Full);
    }

    [Theory]
    [InlineData("4.156")]
    [InlineData("1 failed")]
    [InlineData("5.1234 ± 0.0400")]
    [InlineData("0.02345 ± 0.00100")]
    [InlineData("93.1 % ± 0.4 %")]
    [InlineData("1 of 128 scales are zero.")]
    [InlineData("Layer 2: Expert 3 saw 4 calibration tokens: rounded plainly.")]
    [InlineData("Only 512 calibration tokens are used.")]
    [InlineData("Slowest layers")]
    [InlineData("rounding 5.5 s")]
    [InlineData("0.01234")]
    [InlineData("not on the shortlist")]
    [InlineData("router")]
    [InlineData("vllm serve")]
    [InlineData("0.01475")]
    [InlineData("0.00865")]
    [InlineData("Bits per weight by layer")]
    public void TellsWhatIsKnown(string text) => Assert.Contains(text, Full);

    [Fact]
    public void TheWorstModulesComeFirst() =>
        Assert.True(Full.IndexOf("model.layers.3.mlp.down_proj", StringComparison.Ordinal) < Full.IndexOf("model.layers.0.self_attn.q_proj", StringComparison.Ordinal));

    [Fact]
    public void WhatIsNotKnownIsLeftOut()
    {
        var report = SampleReport.Report with { Duration = null, PeakMemory = null, Warnings = [], FloatModules = new Dictionary<string, string>(), Layers = [] };
        var html = HtmlReport.Render(report);
        Assert.DoesNotContain("Slowest layers", html);
        Assert.DoesNotContain("<h2>Checks</h2>", html);
        Assert.DoesNotContain("<h2>Warnings</h2>", html);
        Assert.Contains("No figures.", html);
    }

    [Fact]
    public void ADecimalCommaChangesNothing()
    {
        var comma = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        comma.NumberFormat.NumberDecimalSeparator = ",";
        var expected = Full;
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = comma;
        try
        {
            Assert.Equal(expected, Full);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void ChartsPutValuesWhereTheyBelong()
    {
        var svg = SvgChart.Lines("t", "u", [new ChartSeries("a", [0, 5, double.NaN, 10])]);
        // From left to right 84 to 628, from the axis at 198 up to 12; the gap breaks the line.
        Assert.Contains("d=\"M84 198L265.33 105M628 12\"", svg);
        var logarithmic = SvgChart.Lines("t", "u", [new ChartSeries("a", [1, 10, 100])], logarithmic: true);
        Assert.Contains("d=\"M84 198L356 105L628 12\"", logarithmic);
        Assert.Equal("<p class=\"none\">No figures.</p>", SvgChart.Lines("t", "u", [new ChartSeries("a", [0, -1])], logarithmic: true));
    }

    [Fact]
    public void TheFileKeepsEverythingButTimes()
    {
        using var folder = new TemporaryFolder();
        ReportFile.Write(folder.Path, SampleReport.Report);
        var read = ReportFile.Read(folder.Path);
        Assert.Equal((null, null), (read.Duration, read.PeakMemory));
        Assert.All(read.Layers, l => Assert.Empty(l.Seconds));
        Assert.Equal(SampleReport.Report.Layers.SelectMany(l => l.Groups), read.Layers.SelectMany(l => l.Groups));
        Assert.Equal(SampleReport.Report.Layers.SelectMany(l => l.Linears), read.Layers.SelectMany(l => l.Linears));
        Assert.Equal(SampleReport.Report.Settings, read.Settings);
        Assert.Equal(SampleReport.Report.Tuning, read.Tuning);
        Assert.Equal([4.15625, 4.15625, 5.3125, 4.15625], read.LayerBits);
        Assert.Equal(SampleReport.Report.FloatModules, read.FloatModules);
        var first = File.ReadAllBytes(folder.File(ReportFile.Name));
        ReportFile.Write(folder.Path, SampleReport.Report with { Duration = TimeSpan.FromDays(1), PeakMemory = 1 });
        Assert.Equal(first, File.ReadAllBytes(folder.File(ReportFile.Name)));
    }

    [Fact]
    public void AMissingOrDamagedFileIsAnError()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal("ReportMissing", Assert.Throws<AwqException>(() => ReportFile.Read(folder.Path)).Id);
        folder.Write(ReportFile.Name, "{}");
        Assert.Equal("ReportInvalid", Assert.Throws<AwqException>(() => ReportFile.Read(folder.Path)).Id);
    }
}
