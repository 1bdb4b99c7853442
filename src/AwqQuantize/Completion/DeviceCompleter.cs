using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;

namespace AwqQuantize.Completion;

/// <summary>Devices, without loading a library while the user presses Tab: what the driver shows in /dev.</summary>
public sealed class DeviceCompleter : IArgumentCompleter
{
    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        var word = wordToComplete.Trim('\'', '"');
        return Devices().Where(d => d.Name.StartsWith(word, StringComparison.OrdinalIgnoreCase))
            .Select(d => new CompletionResult(d.Name, d.Name, CompletionResultType.ParameterValue, d.Meaning));
    }

    private static IEnumerable<(string Name, string Meaning)> Devices()
    {
        yield return ("auto", "A GPU if there is one that torch can use, else the CPU");
        yield return ("cpu", "The CPU alone");
        yield return ("cuda", "The first GPU");
        for (var i = 0; File.Exists($"/dev/nvidia{i}"); i++)
            yield return ($"cuda:{i}", $"GPU {i}");
    }
}
