namespace AwqQuantize.Console.Hosting;

/// <summary>One level of progress as a line of text.</summary>
internal sealed record ProgressLine(string Activity, string Status, int Percent, int SecondsRemaining, bool IsInner)
{
    private const int BarWidth = 24;

    public string Fit(int width)
    {
        var indent = IsInner ? "  " : "";
        var bar = Percent < 0 ? "" : $" {new string('━', Percent * BarWidth / 100)}{new string('─', BarWidth - Percent * BarWidth / 100)} {Percent,3} %";
        var left = SecondsRemaining < 0 ? "" : $", {Spell(TimeSpan.FromSeconds(SecondsRemaining))} left";
        var line = $"{indent}{Activity}{bar} {Status}{left}".Replace('\n', ' ');
        return line.Length <= width ? line : line[..(width - 1)] + "…";
    }

    private static string Spell(TimeSpan time) =>
        time.TotalHours >= 1 ? $"{(int)time.TotalHours} h {time.Minutes:00} min" : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds:00} s" : $"{time.Seconds} s";
}
