using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Evaluation;

namespace AwqQuantize.Engine.Reports;

/// <summary>
/// The report as one HTML file: opens offline, needs no script, follows light and dark, prints. The same data give the same text.
/// </summary>
public static class HtmlReport
{
    private const int Worst = 15;

    /// <param name="report">The checkpoint.</param>
    /// <param name="test">What was checked, or null.</param>
    /// <param name="measurements">What else was measured.</param>
    public static string Render(QuantizationReport report, AwqTestResult? test = null, IReadOnlyList<AwqMeasurement>? measurements = null)
    {
        var html = new StringBuilder();
        html.Append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.Append($"<meta name=\"color-scheme\" content=\"light dark\">\n<title>{Text(report.Model)} in 4 bits</title>\n<style>{ReportStyle.Css}</style>\n</head>\n<body>\n<main>\n");
        html.Append($"<h1>{Text(report.Model)} <small>4-bit AWQ</small></h1>\n");
        Summary(html, report, test);
        Warnings(html, report);
        Charts(html, report);
        Modules(html, report, test);
        if (test is not null)
            Checks(html, test);
        Measurements(html, [.. measurements ?? [], .. test?.Measurement is { } own ? new[] { own } : []]);
        Settings(html, report);
        Loading(html, report);
        html.Append("</main>\n</body>\n</html>\n");
        return html.ToString();
    }

    private static void Summary(StringBuilder html, QuantizationReport report, AwqTestResult? test)
    {
        html.Append("<section class=\"cards\">");
        Card("Size", Bytes(report.Size), $"{Bytes(report.SourceSize)} before, {Ratio((double)report.SourceSize / report.Size)} smaller");
        Card("Bits per weight", Fixed(report.BitsPerWeight, 3), $"groups of {report.GroupSize}");
        Card("Quantised", $"{report.QuantizedModules} linears", report.FloatModules.Count == 0 ? "all of them" : $"{report.FloatModules.Count} stayed float");
        if (test is not null)
            Card("Checks", test.Passed ? "passed" : $"{test.FailedCount} failed", test.WarningCount switch { 0 => "no warnings", 1 => "1 warning", var n => $"{n} warnings" });
        if (test?.KlDivergence is { } kl)
            Card("KL to the source", Fixed(kl, 4), $"perplexity {Fixed(test.Perplexity!.Value, 3)} beside {Fixed(test.SourcePerplexity!.Value, 3)}");
        if (report.Duration is { } duration)
            Card("Time", Seconds(duration.TotalSeconds), report.PeakMemory is { } peak ? $"{Bytes(peak)} of memory at most" : "");
        html.Append("</section>\n");

        void Card(string name, string value, string note) =>
            html.Append($"<div class=\"card\"><span>{Text(name)}</span><b>{Text(value)}</b><small>{Text(note)}</small></div>");
    }

    private static void Warnings(StringBuilder html, QuantizationReport report)
    {
        var all = report.Warnings.Concat(report.Layers.SelectMany(l => l.Warnings.Select(w => $"Layer {l.Layer}: {w}"))).Distinct().ToList();
        if (all.Count > 0)
            html.Append($"<section class=\"warnings\"><h2>Warnings</h2><ul>{string.Concat(all.Select(w => $"<li>{Text(w)}</li>"))}</ul></section>\n");
    }

    private static void Charts(StringBuilder html, QuantizationReport report)
    {
        var layers = report.Layers;
        // Groups and modules have the same short name in every layer.
        IReadOnlyList<ChartSeries> PerGroup(Func<ScaleGroupOutcome, double> value) =>
            [.. layers.SelectMany(l => l.Groups.Select(g => g.Name)).Distinct().Take(8)
                .Select(name => new ChartSeries(name, [.. layers.Select(l => l.Groups.FirstOrDefault(g => g.Name == name) is { } g ? value(g) : double.NaN)]))];
        var modules = layers.SelectMany(l => l.Linears.Select(m => Kind(m.Module))).Distinct().Take(8)
            .Select(kind => new ChartSeries(kind, [.. layers.Select(l => l.Linears.Where(m => Kind(m.Module) == kind).Select(m => m.Loss).DefaultIfEmpty(double.NaN).Average())])).ToList();
        html.Append("<section class=\"charts\">");
        Chart("Output error of each linear", "Mean squared error of a linear's output on the calibration text; experts of a layer are averaged.",
            LayerChart.Lines("Output error by layer", "mean squared error", modules, logarithmic: true));
        Chart("Scales against plain rounding", "Loss with the chosen scales as a share of the loss without any: below 1 the scales help.",
            LayerChart.Lines("Loss relative to no scales", "share of loss", PerGroup(g => g.IdentityLoss > 0 ? g.Loss / g.IdentityLoss : double.NaN), reference: 1));
        Chart("Spread of the scales", "Largest over smallest scale of a group. 2 to 4 is usual; extreme values deserve a look.",
            LayerChart.Lines("Scale spread by layer", "largest / smallest", PerGroup(g => g.Spread), logarithmic: true));
        Chart("Error of the folds", "Relative change of a block's output when its scales were folded, in float32: only rounding noise is allowed.",
            LayerChart.Lines("Fold error by layer", "relative error", PerGroup(g => g.FoldError), logarithmic: true, reference: 1e-3));
        Chart("Largest activation", "Largest magnitude at the input of any linear. Beyond 65504 float16 kernels overflow.",
            LayerChart.Lines("Largest activation by layer", "magnitude", [new ChartSeries("largest", [.. layers.Select(l => (double)l.LargestActivation)])], logarithmic: true));
        if (report.LayerBits.Count > 0)
            Chart("Bits", "Bits per weight of a layer's linears, scales and zero points included; what stayed float counts 16.",
                LayerChart.Lines("Bits per weight by layer", "bits", [new ChartSeries("bits", [.. report.LayerBits.Select(b => b > 0 ? b : double.NaN)])], reference: report.BitsPerWeight));
        if (layers.Any(l => l.Seconds.Count > 0))
        {
            var stages = layers.SelectMany(l => l.Seconds.Keys).Distinct().Take(8).Select(stage => new ChartSeries(stage, [.. layers.Select(l => l.Seconds.GetValueOrDefault(stage))])).ToList();
            Chart("Time", "Seconds by stage and layer.", LayerChart.Lines("Seconds by layer", "seconds", stages));
        }
        html.Append("</section>\n");

        void Chart(string title, string note, string svg) => html.Append($"<figure><figcaption><h3>{Text(title)}</h3><p>{Text(note)}</p></figcaption>{svg}</figure>\n");
    }

    private static void Modules(StringBuilder html, QuantizationReport report, AwqTestResult? test)
    {
        if (test is { Modules.Count: > 0 })
        {
            Table(html, "Farthest from the source", ["module", "relative error", "worst output channel", "worst input channel"],
                test.Modules.OrderByDescending(m => m.RelativeError).Take(Worst).Select(m => new[] { m.Module, Percent(m.RelativeError), Percent(m.LargestRowError), Percent(m.LargestColumnError) }));
        }
        Table(html, "Linears with the largest output error", ["layer", "module", "mean squared error", "calibration tokens"],
            report.Layers.SelectMany(l => l.Linears.Select(m => (l.Layer, Linear: m))).OrderByDescending(m => m.Linear.Loss).ThenBy(m => m.Layer).Take(Worst)
                .Select(m => new[] { $"{m.Layer}", m.Linear.Module, LayerChart.Short(m.Linear.Loss), $"{m.Linear.Tokens}" }));
        var reverted = report.Layers.SelectMany(l => l.Groups.Where(g => g.Reverted).Select(g => new[] { $"{l.Layer}", g.Name, LayerChart.Short(g.FoldError) })).ToList();
        if (reverted.Count > 0)
            Table(html, "Groups without scales, because the fold changed the layer", ["layer", "group", "relative change"], reverted);
        if (report.Layers.Any(l => l.Seconds.Count > 0))
        {
            Table(html, "Slowest layers", ["layer", "time", "most of it"], report.Layers.OrderByDescending(l => l.Seconds.Values.Sum()).Take(5)
                .Select(l => new[] { $"{l.Layer}", Seconds(l.Seconds.Values.Sum()), l.Seconds.OrderByDescending(s => s.Value).Select(s => $"{s.Key} {Seconds(s.Value)}").FirstOrDefault() ?? "" }));
        }
        if (report.Sensitivity is { Count: > 0 } sensitivity)
        {
            Table(html, "What parts of the model cost in 4 bits, each alone", ["layer", "part", "weights", "KL divergence", "change of the layer's output", "stays"],
                sensitivity.OrderByDescending(s => s.StaysFloat).ThenByDescending(s => s.KlDivergence ?? -1).ThenByDescending(s => s.StreamError).Take(2 * Worst).Select(s => new[]
                {
                    $"{s.Set.Layer}", s.Set.Name, $"{s.Set.Weights}", s.KlDivergence is { } kl ? LayerChart.Short(kl) : "not on the shortlist", LayerChart.Short(s.StreamError),
                    s.StaysFloat ? "float16" : "4 bits",
                }));
        }
        if (report.Tuning is { } tuning)
        {
            Table(html, "Tuning against the float model's predictions", ["steps", "best step", "tokens", "held-out tokens", "held-out KL before", "held-out KL after"],
                [[$"{tuning.Steps}", tuning.BestStep == 0 ? "none was better" : $"{tuning.BestStep}", $"{tuning.Tokens}", $"{tuning.HeldOutTokens}", LayerChart.Short(tuning.KlBefore), LayerChart.Short(tuning.KlAfter)]]);
        }
        if (report.FloatModules.Count > 0)
        {
            Table(html, "What stayed float", ["modules", "example", "reason"], report.FloatModules.GroupBy(f => f.Value).OrderByDescending(g => g.Count())
                .Select(g => new[] { $"{g.Count()}", g.First().Key, g.Key }));
        }
    }

    private static void Checks(StringBuilder html, AwqTestResult test)
    {
        html.Append("<section><h2>Checks</h2><table><thead><tr><th>check</th><th>status</th><th>where</th><th>what</th></tr></thead><tbody>");
        foreach (var check in test.Checks)
            html.Append($"<tr class=\"{check.Status.ToString().ToLowerInvariant()}\"><td>{Text(check.Name)}</td><td><b>{check.Status}</b></td><td>{Text(check.Subject)}</td><td>{Text(check.Message)}</td></tr>");
        html.Append("</tbody></table></section>\n");
        if (test.SampleText is { } sample)
            html.Append($"<section><h2>Sample</h2><blockquote>{Text(sample)}</blockquote></section>\n");
    }

    private static void Measurements(StringBuilder html, IReadOnlyList<AwqMeasurement> measurements)
    {
        foreach (var measurement in measurements)
        {
            var rows = measurement.Texts.Count == 1 ? measurement.Texts : [.. measurement.Texts, measurement.Overall];
            Table(html, $"Measured in windows of {measurement.Context} tokens", ["text", "tokens", "perplexity", "source", "KL divergence", "same likeliest token"], rows.Select(t => new[]
            {
                Path.GetFileName(t.Source), $"{t.Predictions}", WithError(t.Perplexity, t.PerplexityError, 4),
                t.ReferencePerplexity is { } source ? Fixed(source, 4) : "", t.KlDivergence is { } kl ? WithError(kl, t.KlDivergenceError, 5) : "",
                t.TopAgreement is { } top ? Percent(top) + (t.TopAgreementError is { } e ? $" ± {Percent(e)}" : "") : "",
            }));
        }
    }

    private static void Settings(StringBuilder html, QuantizationReport report)
    {
        var rows = report.Settings.Where(s => s.Value.Length > 0).Select(s => new[] { s.Key, s.Value }).ToList();
        rows.AddRange([["Architecture", report.Architecture], ["Program", $"AwqQuantize {report.Version}"], ["Report made on", $"{RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.FrameworkDescription}, {Environment.ProcessorCount} cores"]]);
        Table(html, "Settings and environment", ["setting", "value"], rows);
    }

    private static void Loading(StringBuilder html, QuantizationReport report)
    {
        html.Append("<section><h2>How to load it</h2>");
        Code("vLLM", "vllm serve ./PATH-OF-THIS-FOLDER --dtype float16");
        Code("transformers (with gptqmodel installed)", "from transformers import AutoModelForCausalLM, AutoTokenizer\nmodel = AutoModelForCausalLM.from_pretrained(\"PATH-OF-THIS-FOLDER\", device_map=\"auto\")\ntokenizer = AutoTokenizer.from_pretrained(\"PATH-OF-THIS-FOLDER\")");
        Code("SGLang", "python -m sglang.launch_server --model-path ./PATH-OF-THIS-FOLDER --dtype float16");
        html.Append("</section>\n");

        void Code(string name, string text) => html.Append($"<h3>{Text(name)}</h3><pre><code>{Text(text)}</code></pre>");
    }

    private static void Table(StringBuilder html, string title, string[] head, IEnumerable<string[]> rows)
    {
        var all = rows.ToList();
        // A column of numbers is aligned as such, its head too; the first one names the row.
        string Class(int column) => column > 0 && all.Count > 0 && all.TrueForAll(r => r[column].Length == 0 || IsNumber(r[column])) && all.Exists(r => r[column].Length > 0) ? " class=\"n\"" : "";
        html.Append($"<section><h2>{Text(title)}</h2><table><thead><tr>{string.Concat(head.Select((h, i) => $"<th{Class(i)}>{Text(h)}</th>"))}</tr></thead><tbody>");
        foreach (var row in all)
            html.Append($"<tr>{string.Concat(row.Select((c, i) => $"<td{Class(i)}>{Text(c)}</td>"))}</tr>");
        html.Append("</tbody></table></section>\n");
    }

    private static bool IsNumber(string cell) => cell.Length > 0 && char.IsAsciiDigit(cell[0]) && !cell.Any(c => char.IsAsciiLetter(c) && c is not 'e');

    /// <summary>The module without its numbers.</summary>
    private static string Kind(string module) => string.Join('.', module.Split('.').Where(p => !int.TryParse(p, out _)));

    private static string WithError(double value, double? error, int digits) => Fixed(value, digits) + (error is { } e ? $" ± {Fixed(e, digits)}" : "");

    private static string Fixed(double value, int digits) => value.ToString("F" + digits, CultureInfo.InvariantCulture);

    private static string Percent(double value) => Fixed(100 * value, 1) + " %";

    private static string Ratio(double value) => Fixed(value, 2) + " times";

    private static string Bytes(long bytes) => bytes >= 1e9 ? Fixed(bytes / 1e9, 2) + " GB" : bytes >= 1e6 ? Fixed(bytes / 1e6, 1) + " MB" : Fixed(bytes / 1e3, 1) + " kB";

    private static string Seconds(double seconds) => seconds >= 5400 ? Fixed(seconds / 3600, 1) + " h" : seconds >= 90 ? Fixed(seconds / 60, 1) + " min" : Fixed(seconds, 1) + " s";

    private static string Text(string text) => HtmlText.Encode(text);
}
