using System.Globalization;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Reports;

namespace AwqQuantize.Engine.Tests.Reports;

public sealed partial class HtmlReportTests
{
    [GeneratedRegex("""<(script|link|img|iframe|object)\b|\bsrc=|\bhref=|url\((?!#)|@import""", RegexOptions.IgnoreCase)]
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
        // Dots lie at equal steps from left to right, and as high as their values; the gap breaks the line.
        var linear = LayerChart.Lines("t", "u", [new ChartSeries("a", [0, 5, double.NaN, 10, 10])]);
        var dots = Dots(linear);
        Assert.Equal([1, 3, 4], dots.Skip(1).Select(d => Math.Round((d.X - dots[0].X) / (dots[1].X - dots[0].X), 3)));
        Assert.Equal([0.5, 1, 1], dots.Skip(1).Select(d => Math.Round((dots[0].Y - d.Y) / (dots[0].Y - dots[^1].Y), 3)));
        Assert.Equal(2, Lines(linear));
        var logarithmic = Dots(LayerChart.Lines("t", "u", [new ChartSeries("a", [1, 10, 100, -1])], logarithmic: true));
        Assert.Equal(3, logarithmic.Count);
        Assert.Equal(logarithmic[0].Y - logarithmic[1].Y, logarithmic[1].Y - logarithmic[2].Y, 1e-3);
        Assert.Equal(Lines(linear) + 1, Lines(LayerChart.Lines("t", "u", [new ChartSeries("a", [0, 5, double.NaN, 10, 10])], reference: 3)));
        Assert.Equal("<p class=\"none\">No figures.</p>", LayerChart.Lines("t", "u", [new ChartSeries("a", [0, -1])], logarithmic: true));
    }

    [Fact]
    public void ChartsAreOfThePage()
    {
        var charts = ((string[])["one & only", "another"]).Select(t => LayerChart.Lines(t, "u", [new ChartSeries("a", [1, 2]), new ChartSeries("<b>", [2, 1])], reference: 1)).ToList();
        Assert.All(charts, c => Assert.DoesNotContain("rgb(", c));
        Assert.All((string[])["--c0", "--c1", "--soft", "--rule"], colour => Assert.Contains($"var({colour})", charts[0]));
        Assert.Contains("aria-label=\"one &amp; only\"", charts[0]);
        Assert.Contains("&lt;b&gt;", charts[0]);
        // What one chart is cut out by is not what another is cut out by.
        var names = charts.SelectMany(c => Regex.Matches(c, " id=\"([^\"]+)\"").Select(m => m.Groups[1].Value)).ToList();
        Assert.Equal(names.Count, names.Distinct().Count());
        Assert.All(charts, c => Assert.All(Regex.Matches(c, @"url\(#([^)]+)\)"), m => Assert.Contains($" id=\"{m.Groups[1].Value}\"", c)));
    }

    /// <summary>Centres of the points of the first series.</summary>
    private static List<(double X, double Y)> Dots(string svg) => [.. Regex.Matches(svg, "<ellipse cx=\"([^\"]+)\" cy=\"([^\"]+)\"[^>]*var\\(--c0\\)")
        .Select(m => (double.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture), double.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture)))];

    /// <summary>Lines of more than one point that are no grid.</summary>
    private static int Lines(string svg) => Regex.Matches(svg, "<polyline points=\"[^\"]* [^\"]*\" style=\"[^\"]*stroke:var\\(--(c\\d|soft)\\)").Count;

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
