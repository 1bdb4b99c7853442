using Spectre.Console;

namespace AwqQuantize.Console.Hosting;

/// <summary>
/// Standard output for results; standard error for the rest, coloured where it is a terminal. The lines of progress are the
/// last ones on the terminal and give way to anything written.
/// </summary>
internal sealed class Terminal
{
    private readonly Lock gate = new();
    private readonly IAnsiConsole error = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(System.Console.Error) });
    private int progressLines;

    public Terminal() => error.Profile.Width = Width;

    /// <summary>Neither stream is redirected and <c>NO_COLOR</c> is not set.</summary>
    public bool HasColour { get; } = !System.Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    public bool ShowsProgress { get; } = !System.Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Columns; wide where there is no terminal, so that nothing is cut in a log.</summary>
    public int Width { get; } = WidthOfWindow();

    public bool HasWrittenErrors { get; set; }

    public void Write(string text)
    {
        lock (gate)
        {
            ClearProgress();
            System.Console.Out.Write(text);
        }
    }

    /// <param name="style">E.g. <c>yellow</c>.</param>
    public void WriteErrorLine(string text, string style)
    {
        lock (gate)
        {
            ClearProgress();
            // Text that PowerShell coloured already is left as it is.
            if (text.Contains('\u001b') || System.Console.IsErrorRedirected)
                System.Console.Error.WriteLine(text);
            else
                error.WriteLine(text, Style.Parse(style));
        }
    }

    public void ShowProgress(IReadOnlyList<ProgressLine> lines)
    {
        if (!ShowsProgress)
            return;
        lock (gate)
        {
            ClearProgress();
            foreach (var line in lines)
                error.WriteLine(line.Fit(Math.Max(20, Width - 1)), Style.Parse(line.IsInner ? "grey" : "aqua"));
            progressLines = lines.Count;
        }
    }

    public void Finish()
    {
        lock (gate)
            ClearProgress();
        System.Console.Out.Flush();
    }

    private void ClearProgress()
    {
        if (progressLines == 0)
            return;
        // Up to the first line of progress, then erase to the end of the screen.
        System.Console.Error.Write($"\u001b[{progressLines}F\u001b[0J");
        progressLines = 0;
    }

    private static int WidthOfWindow()
    {
        try
        {
            if (System.Console.IsOutputRedirected && System.Console.IsErrorRedirected)
                return 160;
            return System.Console.WindowWidth is > 0 and var width ? width : 80;
        }
        catch (IOException)
        {
            // No terminal at all.
            return 160;
        }
    }
}
