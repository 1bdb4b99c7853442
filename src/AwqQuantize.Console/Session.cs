using System.Management.Automation;
using System.Management.Automation.Runspaces;
using System.Runtime.InteropServices;
using AwqQuantize.Console.Hosting;
using AwqQuantize.Console.StandIns;

namespace AwqQuantize.Console;

/// <summary>One runspace with the module in it, one script, one exit code.</summary>
internal sealed class Session
{
    private const int Interrupted = 130;
    private const int Terminated = 143;

    private readonly TerminalHost host = new();
    private readonly Lock gate = new();
    private PowerShell? running;
    private int? signalled;

    public int Run(CommandLine line)
    {
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using var runspace = RunspaceFactory.CreateRunspace(host, CoreCommands.Add(InitialSessionState.CreateDefault2()));
        runspace.Open();
        Runspace.DefaultRunspace = runspace;
        runspace.SessionStateProxy.Path.SetLocation(WildcardPattern.Escape(Environment.CurrentDirectory));
        if (!host.Terminal.HasColour)
            Invoke(runspace, shell => shell.AddScript("$PSStyle.OutputRendering = 'PlainText'"));
        var isRun = Invoke(runspace, shell => shell.AddCommand("Import-Module").AddParameter("Name", ManifestPath))
            && Invoke(runspace, shell => AddScript(shell, line));
        host.Terminal.Finish();
        return signalled ?? host.ExitCode ?? (isRun && !host.Terminal.HasWrittenErrors ? 0 : 1);
    }

    private static string ManifestPath =>
        Path.Combine(Environment.GetEnvironmentVariable("AWQ_MODULE") is { Length: > 0 } chosen ? chosen
            : Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, (string)AppContext.GetData("AwqQuantize.ModulePath")!)), "AwqQuantize.psd1");

    private static void AddScript(PowerShell shell, CommandLine line)
    {
        if (line.Kind == CommandLineKind.Script)
        {
            shell.AddScript(line.Text);
            return;
        }
        // A path, never a name to be looked up; its arguments are composed as those of a command.
        var script = Path.GetFullPath(line.Text);
        shell.AddScript(CommandLine.Compose([script, .. line.Arguments]));
    }

    /// <summary>Runs, and shows output and errors as they come.</summary>
    /// <returns>False after a terminating error.</returns>
    private bool Invoke(Runspace runspace, Action<PowerShell> fill)
    {
        using var shell = PowerShell.Create(runspace);
        fill(shell);
        shell.Commands.Commands[0].MergeMyResults(PipelineResultTypes.Error, PipelineResultTypes.Output);
        shell.AddCommand("Out-Default");
        lock (gate)
        {
            if (signalled is not null)
                return false;
            running = shell;
        }
        try
        {
            shell.Invoke(null, new PSInvocationSettings { AddToHistory = false });
            return true;
        }
        catch (PipelineStoppedException)
        {
            return false;
        }
        catch (RuntimeException e)
        {
            Show(runspace, e.ErrorRecord);
            return false;
        }
        finally
        {
            lock (gate)
                running = null;
        }
    }

    /// <summary>A terminating error, in the form that PowerShell itself gives errors.</summary>
    private void Show(Runspace runspace, ErrorRecord error)
    {
        host.Terminal.HasWrittenErrors = true;
        using var shell = PowerShell.Create(runspace);
        shell.AddCommand("Out-Default");
        var wrapped = PSObject.AsPSObject(error);
        wrapped.Properties.Add(new PSNoteProperty("writeErrorStream", true));
        shell.Invoke(new[] { wrapped });
    }

    /// <summary>The first signal stops the pipeline, which leaves a run that can be resumed; the second ends the process.</summary>
    private void OnSignal(PosixSignalContext context)
    {
        lock (gate)
        {
            if (signalled is not null)
                return;
            signalled = context.Signal == PosixSignal.SIGTERM ? Terminated : Interrupted;
            context.Cancel = true;
            if (running is { } shell)
                ThreadPool.QueueUserWorkItem(_ => Stop(shell));
        }
    }

    private static void Stop(PowerShell shell)
    {
        // A signal may come between the choice of the shell and its start, before which it cannot be stopped.
        SpinWait.SpinUntil(() => shell.InvocationStateInfo.State != PSInvocationState.NotStarted, TimeSpan.FromSeconds(5));
        shell.BeginStop(null, null);
    }
}
