using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Completion;

/// <summary>
/// Names of the linears that would be quantised of the model that -Path names: as patterns over all layers, and one by one once the
/// user has typed a number.
/// </summary>
public sealed class ModuleNameCompleter : IArgumentCompleter
{
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
        var modules = Modules(path);
        return (word.Any(char.IsAsciiDigit) ? modules : modules.Select(Pattern)).Distinct().Order(StringComparer.Ordinal)
            .Where(m => m.Contains(word.Trim('*'), StringComparison.OrdinalIgnoreCase)).Select(m => new CompletionResult(m.Contains('*') ? $"'{m}'" : m, m, CompletionResultType.ParameterValue, m));
    }

    private static List<string> Modules(string path)
    {
        try
        {
            // In the session that asks: its location and drives decide what the path means.
            var folder = ScriptBlock.Create("$ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($args[0])").Invoke(path)[0].ToString();
            using var model = ModelFolder.Open(folder);
            var descriptions = Path.Combine(Path.GetDirectoryName(typeof(ModuleNameCompleter).Assembly.Location)!, "Architectures");
            var graph = ArchitectureCatalog.Load([descriptions]).Resolve(model.Config.Root, model.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape, StringComparer.Ordinal));
            return [.. graph.Layers.SelectMany(l => l.Linears.Where(x => x.KeepFloatReason is null).Select(x => l.Prefix + x.Module))];
        }
        catch (Exception e) when (e is AwqException or RuntimeException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            // Completion has nothing to offer for a path that cannot be read; the command itself will say why.
            return [];
        }
    }

    /// <summary><c>model.layers.3.mlp.experts.7.up_proj</c> is <c>*.mlp.experts.*.up_proj</c> of every layer and expert.</summary>
    private static string Pattern(string module)
    {
        var parts = module.Split('.');
        var first = Array.FindIndex(parts, p => p.All(char.IsAsciiDigit));
        return first < 0 ? module : "*." + string.Join('.', parts[(first + 1)..].Select(p => p.All(char.IsAsciiDigit) ? "*" : p));
    }
}
