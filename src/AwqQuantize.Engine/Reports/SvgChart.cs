using System.Globalization;
using System.Text;

namespace AwqQuantize.Engine.Reports;

/// <summary>A line of a chart.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Points">By layer; NaN leaves a gap.</param>
internal sealed record ChartSeries(string Name, IReadOnlyList<double> Points);

/// <summary>
/// Small charts as inline SVG. Colours are the page's variables, so that a chart follows light, dark and print as the text does: that
/// is why no plotting library draws them.
/// </summary>
internal static class SvgChart
{
    private const double Width = 640, Height = 240, Left = 84, Right = 12, Top = 12, Bottom = 42;
    private const int Ticks = 5;

    /// <summary>One value per layer and series, as points joined by lines.</summary>
    /// <param name="title">Read out by screen readers.</param>
    /// <param name="unit">Along the upright axis.</param>
    /// <param name="series">All of one length.</param>
    /// <param name="logarithmic">For values that span orders of magnitude; values that are not positive are left out.</param>
    /// <param name="reference">A level that is drawn across, or null.</param>
    public static string Lines(string title, string unit, IReadOnlyList<ChartSeries> series, bool logarithmic = false, double? reference = null)
    {
        var values = series.SelectMany(s => s.Points).Append(reference ?? double.NaN).Where(v => double.IsFinite(v) && (!logarithmic || v > 0)).ToList();
        if (values.Count == 0 || series.Count == 0)
            return "<p class=\"none\">No figures.</p>";
        double Scale(double v) => logarithmic ? Math.Log10(v) : v;
        var (low, high) = (Scale(values.Min()), Scale(values.Max()));
        if (!logarithmic)
            low = Math.Min(0, low);
        if (high - low < 1e-12)
            (low, high) = (low - 0.5, high + 0.5);
        var count = series.Max(s => s.Points.Count);
        double X(double i) => Left + (Width - Left - Right) * (count == 1 ? 0.5 : i / (count - 1));
        double Y(double v) => Height - Bottom - (Height - Top - Bottom) * (Scale(v) - low) / (high - low);
        var svg = new StringBuilder();
        Open(svg, title);
        for (var t = 0; t < Ticks; t++)
        {
            var at = low + (high - low) * t / (Ticks - 1);
            var value = logarithmic ? Math.Pow(10, at) : at;
            var y = Number(Height - Bottom - (Height - Top - Bottom) * t / (Ticks - 1));
            svg.Append($"<line class=\"grid\" x1=\"{Number(Left)}\" x2=\"{Number(Width - Right)}\" y1=\"{y}\" y2=\"{y}\"/>");
            svg.Append($"<text class=\"tick\" x=\"{Number(Left - 6)}\" y=\"{y}\" text-anchor=\"end\" dominant-baseline=\"middle\">{Short(value)}</text>");
        }
        foreach (var layer in Enumerable.Range(0, count).Where(i => i % Math.Max(1, (count + 15) / 16) == 0))
            svg.Append($"<text class=\"tick\" x=\"{Number(X(layer))}\" y=\"{Number(Height - Bottom + 17)}\" text-anchor=\"middle\">{layer}</text>");
        svg.Append($"<text class=\"tick\" x=\"{Number((Left + Width - Right) / 2)}\" y=\"{Number(Height - 4)}\" text-anchor=\"middle\">layer</text>");
        svg.Append($"<text class=\"tick\" transform=\"translate(12 {Number((Top + Height - Bottom) / 2)}) rotate(-90)\" text-anchor=\"middle\">{Text(unit)}</text>");
        if (reference is { } level)
            svg.Append($"<line class=\"level\" x1=\"{Number(Left)}\" x2=\"{Number(Width - Right)}\" y1=\"{Number(Y(level))}\" y2=\"{Number(Y(level))}\"/>");
        for (var s = 0; s < series.Count; s++)
            Line(svg, series[s], s, i => X(i), Y, v => double.IsFinite(v) && (!logarithmic || v > 0));
        svg.Append("</svg>");
        return svg.ToString() + Legend(series);
    }

    private static void Line(StringBuilder svg, ChartSeries series, int index, Func<int, double> x, Func<double, double> y, Func<double, bool> isShown)
    {
        var path = new StringBuilder();
        var broken = true;
        for (var i = 0; i < series.Points.Count; i++)
        {
            if (!isShown(series.Points[i]))
            {
                broken = true;
                continue;
            }
            path.Append(broken ? 'M' : 'L').Append(Number(x(i))).Append(' ').Append(Number(y(series.Points[i])));
            broken = false;
        }
        svg.Append($"<path class=\"line c{index % 8}\" d=\"{path}\"/>");
        for (var i = 0; i < series.Points.Count; i++)
        {
            if (isShown(series.Points[i]))
                svg.Append($"<circle class=\"dot c{index % 8}\" cx=\"{Number(x(i))}\" cy=\"{Number(y(series.Points[i]))}\" r=\"2.5\"><title>{Text(series.Name)}, layer {i}: {Short(series.Points[i])}</title></circle>");
        }
    }

    private static string Legend(IReadOnlyList<ChartSeries> series) => series.Count < 2 ? ""
        : $"<p class=\"legend\">{string.Concat(series.Select((s, i) => $"<span><i class=\"c{i % 8}\"></i>{Text(s.Name)}</span>"))}</p>";

    private static void Open(StringBuilder svg, string title) =>
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{Text(title)}\"><title>{Text(title)}</title>");

    /// <summary>Coordinates: never a decimal comma.</summary>
    private static string Number(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);

    /// <summary>A figure as people read it.</summary>
    public static string Short(double value) => Math.Abs(value) is >= 1e5 or (> 0 and < 1e-3)
        ? value.ToString("0.0e0", CultureInfo.InvariantCulture)
        // Four digits say enough.
        : Math.Abs(value) >= 1000 ? value.ToString("0", CultureInfo.InvariantCulture) : value.ToString("G4", CultureInfo.InvariantCulture);

    private static string Text(string text) => HtmlText.Encode(text);
}
