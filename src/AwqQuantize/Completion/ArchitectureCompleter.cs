using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;

namespace AwqQuantize.Completion;

/// <summary>Names of the descriptions that ship with the module.</summary>
public sealed class ArchitectureCompleter : IArgumentCompleter
{
    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        var folder = Path.Combine(Path.GetDirectoryName(typeof(ArchitectureCompleter).Assembly.Location)!, "Architectures");
        if (!Directory.Exists(folder))
            return [];
        var word = wordToComplete.Trim('\'', '"');
        return Directory.EnumerateFiles(folder, "*.json").Select(f => Path.GetFileNameWithoutExtension(f))
            .Where(n => n != "architecture.schema" && n.StartsWith(word, StringComparison.OrdinalIgnoreCase)).Order(StringComparer.Ordinal)
            .Select(n => new CompletionResult(n, n, CompletionResultType.ParameterValue, n));
    }
}
