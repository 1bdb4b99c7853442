using System.Text;
using System.Text.RegularExpressions;

namespace AwqQuantize.Console;

/// <summary>What the process was started with.</summary>
/// <param name="Text">The script, or the path of the script file.</param>
/// <param name="Arguments">What follows a script file.</param>
internal sealed partial record CommandLine(CommandLineKind Kind, string Text, IReadOnlyList<string> Arguments)
{
    public const string HelpText = """
        Runs the cmdlets of the AwqQuantize module where there is no pwsh.

          AwqQuantize.Console <cmdlet> [arguments]      one cmdlet
          AwqQuantize.Console -Command <script>         a script, e.g. a pipeline
          AwqQuantize.Console -File <script.ps1> [arguments]
          AwqQuantize.Console --help | --version

        Examples
          AwqQuantize.Console Invoke-AwqQuantization -Path models/llama -GroupSize 128 -Verbose
          AwqQuantize.Console -Command "Get-AwqModel models -Recurse | Where-Object IsSupported | Invoke-AwqQuantization"
          AwqQuantize.Console Get-Help Invoke-AwqQuantization -Full
          AwqQuantize.Console Get-Command -Module AwqQuantize

        A comma separates the elements of a list, as in PowerShell: -ExcludeModule lm_head,'*.gate'.
        The result goes to standard output; warnings, errors and progress go to standard error.
        Exit code: 0 without errors, 1 with any, 130 after Ctrl+C, 143 after SIGTERM. NO_COLOR is respected;
        AWQ_MODULE names the folder of another build of the module.
        """;

    /// <exception cref="ArgumentException">An option lacks its value.</exception>
    public static CommandLine Parse(IReadOnlyList<string> arguments)
    {
        if (arguments.Count == 0)
            return new CommandLine(CommandLineKind.Help, "", []);
        var rest = arguments.Skip(1).ToList();
        switch (arguments[0].ToLowerInvariant())
        {
            case "--help" or "-help" or "-h" or "-?" or "/?":
                return new CommandLine(CommandLineKind.Help, "", []);
            case "--version" or "-version":
                return new CommandLine(CommandLineKind.Version, "", []);
            case "-command" or "-c":
                return rest.Count > 0 ? new CommandLine(CommandLineKind.Script, string.Join(' ', rest), []) : throw new ArgumentException("-Command needs a script.");
            case "-file" or "-f":
                return rest.Count > 0 ? new CommandLine(CommandLineKind.File, rest[0], rest[1..]) : throw new ArgumentException("-File needs the path of a script.");
            default:
                return new CommandLine(CommandLineKind.Script, Compose(arguments), []);
        }
    }

    /// <summary>
    /// The line that PowerShell takes for a command with these arguments. The shell has removed the quotes already: parameter
    /// names, numbers and the constants stay bare, everything else is a quoted string, and a comma makes a list unless a file
    /// has that very name.
    /// </summary>
    public static string Compose(IReadOnlyList<string> words)
    {
        var line = new StringBuilder("& ").Append(Quote(words[0]));
        foreach (var word in words.Skip(1))
            line.Append(' ').Append(Word(word));
        return line.ToString();
    }

    private static string Word(string word)
    {
        if (ParameterWithValue().Match(word) is { Success: true } parameter)
            return parameter.Groups[1].Value + Value(parameter.Groups[2].Value);
        return ParameterName().IsMatch(word) ? word : Value(word);
    }

    private static string Value(string value)
    {
        if (value.Contains(',') && !Path.Exists(value))
            return string.Join(',', value.Split(',').Select(Single));
        return Single(value);
    }

    private static string Single(string value) => Constant().IsMatch(value) ? value : Quote(value);

    private static string Quote(string text) => $"'{text.Replace("'", "''")}'";

    [GeneratedRegex(@"^-[A-Za-z_]\w*$")]
    private static partial Regex ParameterName();

    [GeneratedRegex(@"^(-[A-Za-z_]\w*:)(.+)$", RegexOptions.Singleline)]
    private static partial Regex ParameterWithValue();

    [GeneratedRegex(@"^(\$(true|false|null)|-?\d+(\.\d+)?([eE][-+]?\d+)?([kKmMgGtT][bB])?)$", RegexOptions.IgnoreCase)]
    private static partial Regex Constant();
}
