using System.Globalization;
using System.Management.Automation.Host;

namespace AwqQuantize.Console.Hosting;

/// <summary>PowerShell's view of this process.</summary>
internal sealed class TerminalHost : PSHost
{
    private readonly TerminalUserInterface userInterface;

    public TerminalHost() => userInterface = new TerminalUserInterface(Terminal);

    public Terminal Terminal { get; } = new();

    /// <summary>What a script gave to <c>exit</c>.</summary>
    public int? ExitCode { get; private set; }

    public override string Name => "AwqQuantize.Console";

    public override Version Version => typeof(TerminalHost).Assembly.GetName().Version!;

    public override Guid InstanceId { get; } = Guid.NewGuid();

    public override CultureInfo CurrentCulture => CultureInfo.CurrentCulture;

    public override CultureInfo CurrentUICulture => CultureInfo.CurrentUICulture;

    public override PSHostUserInterface UI => userInterface;

    public override void SetShouldExit(int exitCode) => ExitCode = exitCode;

    public override void EnterNestedPrompt() => throw new NotSupportedException("There is no prompt in this host.");

    public override void ExitNestedPrompt() => throw new NotSupportedException("There is no prompt in this host.");

    public override void NotifyBeginApplication()
    {
    }

    public override void NotifyEndApplication()
    {
    }
}
