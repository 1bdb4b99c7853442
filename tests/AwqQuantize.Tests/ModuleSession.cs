using System.Collections.ObjectModel;
using System.Management.Automation;
using System.Management.Automation.Runspaces;

namespace AwqQuantize.Tests;

/// <summary>A runspace with the staged module imported, as a user's session has it.</summary>
internal sealed class ModuleSession : IDisposable
{
    private readonly Runspace runspace;

    public ModuleSession(bool import = true)
    {
        runspace = RunspaceFactory.CreateRunspace(InitialSessionState.CreateDefault2());
        runspace.Open();
        if (import)
            Run($"Import-Module '{StagedModule.Manifest}'").ThrowOnError();
    }

    public SessionResult Run(string script, params (string Name, object? Value)[] variables)
    {
        using var shell = Shell(script, variables);
        return Finish(shell, input: null);
    }

    /// <summary>Runs with <paramref name="input"/> as <c>$input</c> of the pipeline's first command.</summary>
    public SessionResult RunWithInput(string script, IEnumerable<object> input)
    {
        using var shell = Shell(script, []);
        return Finish(shell, input);
    }

    public PowerShell Shell(string script, params (string Name, object? Value)[] variables)
    {
        foreach (var (name, value) in variables)
            runspace.SessionStateProxy.SetVariable(name, value);
        var shell = PowerShell.Create(runspace);
        shell.AddScript(script);
        return shell;
    }

    public static SessionResult Finish(PowerShell shell, IEnumerable<object>? input = null)
    {
        Collection<PSObject> output = [];
        ErrorRecord? terminating = null;
        try
        {
            output = input is null ? shell.Invoke() : shell.Invoke(input);
        }
        catch (RuntimeException e)
        {
            terminating = e.ErrorRecord;
        }
        return new SessionResult(output, [.. shell.Streams.Error, .. terminating is null ? [] : new[] { terminating }],
            [.. shell.Streams.Warning.Select(w => w.Message)], [.. shell.Streams.Verbose.Select(v => v.Message)],
            [.. shell.Streams.Progress]);
    }

    public void Dispose() => runspace.Dispose();
}
