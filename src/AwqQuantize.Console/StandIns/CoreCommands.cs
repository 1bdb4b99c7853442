using System.Management.Automation;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;
using System.Text;

namespace AwqQuantize.Console.StandIns;

/// <summary>
/// Small stand-ins for the commands of PowerShell's own modules that a script for this module needs and that the hosting
/// package lacks: what they take is a part of the original's parameters, what they do with it is the same.
/// </summary>
internal static class CoreCommands
{
    public static InitialSessionState Add(InitialSessionState state)
    {
        state.Commands.Add(new SessionStateCmdletEntry("ConvertTo-Json", typeof(ConvertToJsonCommand), null));
        state.Commands.Add(new SessionStateCmdletEntry("Format-List", typeof(FormatListCommand), null));
        var script = Parser.ParseInput(ReadScript(), out _, out var errors);
        if (errors.Length > 0)
            throw new ParseException(errors);
        foreach (var function in script.FindAll(a => a is FunctionDefinitionAst, searchNestedScriptBlocks: false).Cast<FunctionDefinitionAst>())
            state.Commands.Add(new SessionStateFunctionEntry(function.Name, function.Body.Extent.Text[1..^1]));
        return state;
    }

    private static string ReadScript()
    {
        using var reader = new StreamReader(typeof(CoreCommands).Assembly.GetManifestResourceStream("StandIns.ps1")!, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
