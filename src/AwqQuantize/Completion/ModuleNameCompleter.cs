using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Completion;

/// <summary>Names of the linears of the model that -Path names, as patterns over all layers.</summary>
public sealed class ModuleNameCompleter : IArgumentCompleter
{
    private const string WeightSuffix = ".weight";

    public IEnumerable<CompletionResult> CompleteArgument(
        string commandName, string parameterName, string wordToComplete, CommandAst commandAst, IDictionary fakeBoundParameters)
    {
        var word = wordToComplete.Trim('\'', '"');
        var path = (fakeBoundParameters["Path"] ?? fakeBoundParameters["LiteralPath"]) switch
        {
            string one => one,
            IEnumerable many => many.Cast<object>().FirstOrDefault()?.ToString(),
            _ => null,
        };
        if (path is null)
            return [];
        return Modules(path).Where(m => m.Contains(word.Trim('*'), StringComparison.OrdinalIgnoreCase))
            .Select(m => new CompletionResult(m.Contains('*') ? $"'{m}'" : m, m, CompletionResultType.ParameterValue, m));
    }

    private static List<string> Modules(string path)
    {
        try
        {
            // In the session that asks: its location and drives decide what the path means.
            var folder = ScriptBlock.Create("$ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($args[0])").Invoke(path)[0].ToString();
            using var model = ModelFolder.Open(folder);
            return [.. model.Tensors.Values.Where(t => t.Shape.Length >= 2 && t.Name.EndsWith(WeightSuffix, StringComparison.Ordinal))
                .Select(t => Pattern(t.Name[..^WeightSuffix.Length])).Distinct().Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is AwqException or RuntimeException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            // Completion has nothing to offer for a path that cannot be read; the command itself will say why.
            return [];
        }
    }

    /// <summary><c>model.layers.3.mlp.up_proj</c> is <c>*.mlp.up_proj</c> of every layer.</summary>
    private static string Pattern(string module)
    {
        var parts = module.Split('.');
        var last = Array.FindLastIndex(parts, p => p.All(char.IsAsciiDigit));
        return last < 0 ? module : "*." + string.Join('.', parts[(last + 1)..]);
    }
}
