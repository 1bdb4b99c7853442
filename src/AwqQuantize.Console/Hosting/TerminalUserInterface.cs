using System.Collections.ObjectModel;
using System.Management.Automation;
using System.Management.Automation.Host;
using System.Security;

namespace AwqQuantize.Console.Hosting;

/// <summary>Writes PowerShell's streams to the terminal, and asks what it wants to ask.</summary>
internal sealed class TerminalUserInterface(Terminal terminal) : PSHostUserInterface, IHostUISupportsMultipleChoiceSelection
{
    private readonly SortedDictionary<(long Source, int Activity), ProgressLine> progress = [];

    public override PSHostRawUserInterface RawUI { get; } = new TerminalRawUserInterface(terminal);

    public override bool SupportsVirtualTerminal => terminal.HasColour;

    public override void Write(string value) => terminal.Write(Plain(value));

    public override void Write(ConsoleColor foregroundColor, ConsoleColor backgroundColor, string value) => Write(value);

    public override void WriteLine(string value) => Write(value + Environment.NewLine);

    public override void WriteErrorLine(string value)
    {
        terminal.HasWrittenErrors = true;
        terminal.WriteErrorLine(Plain(value), "red");
    }

    public override void WriteWarningLine(string message) => terminal.WriteErrorLine("WARNING: " + message, "yellow");

    public override void WriteVerboseLine(string message) => terminal.WriteErrorLine("VERBOSE: " + message, "yellow");

    public override void WriteDebugLine(string message) => terminal.WriteErrorLine("DEBUG: " + message, "yellow");

    /// <summary>The last line of a run over many models, for those who look on; scripts take it from the information stream.</summary>
    public override void WriteInformation(InformationRecord record)
    {
        if (terminal.ShowsProgress && record.Tags.Contains("AwqSummary"))
            terminal.WriteErrorLine(record.MessageData.ToString() ?? "", "aqua");
    }

    public override void WriteProgress(long sourceId, ProgressRecord record)
    {
        var key = (sourceId, record.ActivityId);
        if (record.RecordType == ProgressRecordType.Completed)
            progress.Remove(key);
        else
            progress[key] = new ProgressLine(record.Activity, record.StatusDescription, record.PercentComplete, record.SecondsRemaining, record.ParentActivityId >= 0);
        terminal.ShowProgress([.. progress.Values]);
    }

    public override string ReadLine() => System.Console.ReadLine() ?? "";

    public override SecureString ReadLineAsSecureString()
    {
        var secret = new SecureString();
        while (System.Console.ReadKey(intercept: true) is var key && key.Key != ConsoleKey.Enter)
        {
            if (key.Key == ConsoleKey.Backspace && secret.Length > 0)
                secret.RemoveAt(secret.Length - 1);
            else if (key.KeyChar != 0)
                secret.AppendChar(key.KeyChar);
        }
        return secret;
    }

    public override Dictionary<string, PSObject> Prompt(string caption, string message, Collection<FieldDescription> descriptions)
    {
        RequireInput();
        Ask(caption, message);
        return descriptions.ToDictionary(d => d.Name, d =>
        {
            terminal.Write(d.Name + ": ");
            return PSObject.AsPSObject(ReadLine());
        });
    }

    public override int PromptForChoice(string caption, string message, Collection<ChoiceDescription> choices, int defaultChoice) =>
        PromptForChoice(caption, message, choices, [defaultChoice])[0];

    public Collection<int> PromptForChoice(string? caption, string? message, Collection<ChoiceDescription> choices, IEnumerable<int>? defaultChoices)
    {
        RequireInput();
        Ask(caption ?? "", message ?? "");
        var defaults = defaultChoices?.ToList() ?? [];
        var keys = choices.Select(c => c.Label.IndexOf('&') is >= 0 and var at && at + 1 < c.Label.Length ? c.Label.Substring(at + 1, 1) : c.Label[..1]).ToList();
        while (true)
        {
            terminal.Write(string.Join("  ", choices.Select((c, i) => $"[{keys[i]}] {c.Label.Replace("&", "")}"))
                + (defaults.Count > 0 && defaults[0] >= 0 ? $" (default is \"{keys[defaults[0]]}\"): " : ": "));
            var answer = System.Console.ReadLine() ?? throw new PSInvalidOperationException("The input ended before the question was answered.");
            if (answer.Length == 0 && defaults.Count > 0)
                return [.. defaults];
            if (keys.FindIndex(k => k.Equals(answer.Trim(), StringComparison.OrdinalIgnoreCase)) is >= 0 and var chosen)
                return [chosen];
        }
    }

    public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName)
    {
        RequireInput();
        Ask(caption, message);
        terminal.Write($"Password of {userName}: ");
        return new PSCredential(userName, ReadLineAsSecureString());
    }

    public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName,
        PSCredentialTypes allowedCredentialTypes, PSCredentialUIOptions options) => PromptForCredential(caption, message, userName, targetName);

    /// <summary>PowerShell leaves it to the host to take its colours out again.</summary>
    private string Plain(string text) => GetOutputString(text, terminal.HasColour);

    private void Ask(string caption, string message)
    {
        foreach (var line in (string[])[caption, message])
        {
            if (!string.IsNullOrEmpty(line))
                WriteLine(line);
        }
    }

    /// <summary>A question nobody can answer is an error, never a wait without end.</summary>
    private static void RequireInput()
    {
        if (System.Console.IsInputRedirected && System.Console.In.Peek() < 0)
            throw new PSInvalidOperationException("A question cannot be answered: standard input has ended. Use -Force or -Confirm:$false.");
    }
}
