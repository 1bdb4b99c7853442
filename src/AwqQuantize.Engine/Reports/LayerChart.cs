using System.Globalization;
using System.Text.RegularExpressions;
using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Series;

namespace AwqQuantize.Engine.Reports;

/// <summary>A line of a chart.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Points">By layer; NaN leaves a gap.</param>
internal sealed record ChartSeries(string Name, IReadOnlyList<double> Points);

/// <summary>
/// Small charts over the layers, drawn by OxyPlot as inline SVG. What it draws in stand-ins gets the page's variables for colours, so
/// that a chart follows light, dark and print as the text does.
/// </summary>
internal static partial class LayerChart
{
    private const int Width = 640, Height = 240, Colours = 8;
    private const double TextSize = 13, LineWidth = 1.8, DotSize = 2.5;

    // The page's font is wider than what OxyPlot takes it for.
    private const double TitleDistance = 28;

    private static readonly OxyColor Soft = StandIn(100), Rule = StandIn(101);

    /// <summary>One value per layer and series, as points joined by lines.</summary>
    /// <param name="title">Read out by screen readers; no two charts of a page have the same.</param>
    /// <param name="unit">Along the upright axis.</param>
    /// <param name="series">All of one length.</param>
    /// <param name="logarithmic">For values that span orders of magnitude; values that are not positive are left out.</param>
    /// <param name="reference">A level that is drawn across, or null.</param>
    public static string Lines(string title, string unit, IReadOnlyList<ChartSeries> series, bool logarithmic = false, double? reference = null)
    {
        bool IsShown(double v) => double.IsFinite(v) && (!logarithmic || v > 0);
        var count = series.Select(s => s.Points.Count).DefaultIfEmpty().Max();
        if (!series.SelectMany(s => s.Points).Any(IsShown))
            return "<p class=\"none\">No figures.</p>";
        var model = new PlotModel
        {
            Culture = CultureInfo.InvariantCulture, TextColor = Soft, DefaultFont = "inherit", DefaultFontSize = TextSize, PlotAreaBorderThickness = new OxyThickness(0),
            Padding = new OxyThickness(0, 4, 8, 0),
        };
        Axis upright = logarithmic ? new LogarithmicAxis() : new LinearAxis { MinimumPadding = 0, Minimum = Math.Min(0, series.SelectMany(s => s.Points).Where(IsShown).Min()) };
        model.Axes.Add(Dressed(upright, AxisPosition.Left, unit));
        upright.LabelFormatter = Short;
        upright.MaximumPadding = 0.06;
        upright.AxisTitleDistance = TitleDistance;
        upright.MajorGridlineStyle = LineStyle.Solid;
        upright.MajorGridlineColor = Rule;
        model.Axes.Add(Dressed(new LinearAxis { MinimumMajorStep = 1, Minimum = -0.5, Maximum = count - 0.5 }, AxisPosition.Bottom, "layer"));
        if (reference is { } level && IsShown(level))
        {
            var across = new LineSeries { Color = Soft, StrokeThickness = 1, LineStyle = LineStyle.Dash };
            across.Points.AddRange([new DataPoint(-0.5, level), new DataPoint(count - 0.5, level)]);
            model.Series.Add(across);
        }
        for (var s = 0; s < series.Count; s++)
        {
            var colour = StandIn(s % Colours);
            var line = new LineSeries { Color = colour, StrokeThickness = LineWidth, MarkerType = MarkerType.Circle, MarkerSize = DotSize, MarkerFill = colour };
            line.Points.AddRange(series[s].Points.Select((v, layer) => new DataPoint(layer, IsShown(v) ? v : double.NaN)));
            model.Series.Add(line);
        }
        return Inline(SvgExporter.ExportToString(model, Width, Height, isDocument: false), title) + Legend(series);
    }

    private static Axis Dressed(Axis axis, AxisPosition position, string title)
    {
        (axis.Position, axis.Title, axis.TickStyle, axis.IntervalLength) = (position, title, TickStyle.None, position == AxisPosition.Left ? 45 : 40);
        return axis;
    }

    /// <summary>The drawing as a part of the page: as wide as there is room, in the page's colours, with names of its own.</summary>
    private static string Inline(string svg, string title)
    {
        var name = NoWord().Replace(title, "-");
        svg = svg[svg.IndexOf("<svg", StringComparison.Ordinal)..];
        svg = string.Create(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{HtmlText.Encode(title)}\"><title>{HtmlText.Encode(title)}</title>")
            + svg[(svg.IndexOf('>') + 1)..];
        svg = FillAttribute().Replace(svg, m => $"style=\"fill:{m.Groups[1].Value}\"");
        svg = StandInColour().Replace(svg, m => $"var(--{(m.Groups[1].Value is "100" ? "soft" : m.Groups[1].Value is "101" ? "rule" : "c" + m.Groups[1].Value)})");
        return svg.Replace("clipPath", "\0", StringComparison.Ordinal).Replace("<\0", "<clipPath", StringComparison.Ordinal).Replace("</\0", "</clipPath", StringComparison.Ordinal)
            .Replace("\0", name + "-", StringComparison.Ordinal);
    }

    private static OxyColor StandIn(int index) => OxyColor.FromRgb(1, 2, (byte)index);

    private static string Legend(IReadOnlyList<ChartSeries> series) => series.Count < 2 ? ""
        : $"<p class=\"legend\">{string.Concat(series.Select((s, i) => $"<span><i class=\"c{i % Colours}\"></i>{HtmlText.Encode(s.Name)}</span>"))}</p>";

    /// <summary>A figure as people read it.</summary>
    public static string Short(double value) => Math.Abs(value) is >= 1e5 or (> 0 and < 1e-3)
        ? value.ToString("0.0e0", CultureInfo.InvariantCulture)
        // Four digits say enough.
        : Math.Abs(value) >= 1000 ? value.ToString("0", CultureInfo.InvariantCulture) : value.ToString("G4", CultureInfo.InvariantCulture);

    [GeneratedRegex(@"fill=""(rgb\(1,2,\d+\))""")]
    private static partial Regex FillAttribute();

    [GeneratedRegex(@"rgb\(1,2,(\d+)\)")]
    private static partial Regex StandInColour();

    [GeneratedRegex(@"\W+")]
    private static partial Regex NoWord();
}
