using System.Collections;
using System.Management.Automation;

namespace AwqQuantize.Console.StandIns;

/// <summary>The properties of objects below one another.</summary>
[Cmdlet(VerbsCommon.Format, "List")]
[OutputType(typeof(string))]
public sealed class FormatListCommand : PSCmdlet
{
    [Parameter(Position = 0)]
    public string[] Property { get; set; } = ["*"];

    [Parameter(ValueFromPipeline = true)]
    public PSObject? InputObject { get; set; }

    protected override void ProcessRecord()
    {
        if (InputObject is null)
            return;
        var patterns = Property.Select(p => WildcardPattern.Get(p, WildcardOptions.IgnoreCase)).ToList();
        var shown = InputObject.Properties.Where(p => p.IsGettable && patterns.Any(w => w.IsMatch(p.Name))).ToList();
        var width = shown.Select(p => p.Name.Length).DefaultIfEmpty().Max();
        foreach (var property in shown)
            WriteObject($"{property.Name.PadRight(width)} : {Text(property.Value)}");
        WriteObject("");
    }

    private static string Text(object? value) => value switch
    {
        string text => text,
        IEnumerable list => "{" + string.Join(", ", list.Cast<object?>().Select(e => LanguagePrimitives.ConvertTo<string>(e))) + "}",
        _ => LanguagePrimitives.ConvertTo<string>(value),
    };
}
