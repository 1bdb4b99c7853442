using System.Collections;
using System.Globalization;
using System.Management.Automation;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Console.StandIns;

/// <summary>The public properties of objects as JSON.</summary>
[Cmdlet(VerbsData.ConvertTo, "Json")]
[OutputType(typeof(string))]
public sealed class ConvertToJsonCommand : PSCmdlet
{
    private readonly List<JsonNode?> nodes = [];

    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowNull]
    public object? InputObject { get; set; }

    [Parameter]
    [ValidateRange(0, 100)]
    public int Depth { get; set; } = 2;

    [Parameter]
    public SwitchParameter Compress { get; set; }

    [Parameter]
    public SwitchParameter AsArray { get; set; }

    protected override void ProcessRecord() => nodes.Add(ToNode(InputObject, Depth));

    protected override void EndProcessing()
    {
        var node = nodes.Count == 1 && !AsArray ? nodes[0] : new JsonArray([.. nodes]);
        WriteObject(node is null ? "null" : node.ToJsonString(new JsonSerializerOptions { WriteIndented = !Compress, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
    }

    private static JsonNode? ToNode(object? value, int depth)
    {
        var wrapped = value as PSObject;
        value = wrapped?.BaseObject ?? value;
        switch (value)
        {
            case null or DBNull:
                return null;
            case string or bool or byte or sbyte or short or ushort or int or uint or long or ulong or decimal or char:
                return JsonSerializer.SerializeToNode(value);
            case float or double:
                var number = Convert.ToDouble(value, CultureInfo.InvariantCulture);
                return double.IsFinite(number) ? JsonValue.Create(number) : JsonValue.Create(number.ToString(CultureInfo.InvariantCulture));
            case DateTime or DateTimeOffset or Guid or TimeSpan or Version or Uri:
                return JsonSerializer.SerializeToNode(value, value.GetType());
            case Enum choice:
                return JsonValue.Create(Convert.ToInt64(choice, CultureInfo.InvariantCulture));
        }
        if (depth < 0)
            return JsonValue.Create(value.ToString());
        if (value is IDictionary table)
            return Object(table.Cast<DictionaryEntry>().Select(e => (e.Key.ToString()!, e.Value)), depth);
        if (value is IEnumerable list)
            return new JsonArray([.. list.Cast<object?>().Select(e => ToNode(e, depth - 1))]);
        var properties = (wrapped ?? PSObject.AsPSObject(value)).Properties.Where(p => p.IsGettable);
        return Object(properties.Select(p => (p.Name, (object?)p.Value)), depth);
    }

    private static JsonObject Object(IEnumerable<(string Name, object? Value)> entries, int depth) =>
        new(entries.Select(e => KeyValuePair.Create(e.Name, ToNode(e.Value, depth - 1))));
}
