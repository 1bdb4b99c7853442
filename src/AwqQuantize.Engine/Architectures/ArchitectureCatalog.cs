using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>All known architecture descriptions.</summary>
public sealed class ArchitectureCatalog
{
    private readonly IReadOnlyList<Description> descriptions;
    private readonly Dictionary<string, Description> byType = [];

    private ArchitectureCatalog(IReadOnlyList<Description> descriptions)
    {
        this.descriptions = descriptions;
        foreach (var description in descriptions)
        {
            foreach (var type in description.ModelTypes)
            {
                // What a user writes comes before what ships.
                if (!byType.TryGetValue(type, out var other) || other.Source < description.Source)
                    byType[type] = description;
                else if (other.Source == description.Source)
                    throw Description.Invalid(description.File, $"'model_type': '{type}' belongs to '{other.File}' already");
            }
        }
    }

    /// <summary>Reads the descriptions of some folders or files; one in a later folder replaces one of the same name.</summary>
    /// <exception cref="AwqException"><c>ArchitectureInvalid</c>, naming file and key; <c>ArchitecturePathNotFound</c>.</exception>
    public static ArchitectureCatalog Load(params string[] folders) => new(Description.LoadAll(folders));

    /// <summary>Model types that have a description.</summary>
    public IEnumerable<string> ModelTypes => byType.Keys.Order(StringComparer.Ordinal);

    /// <summary>What every description is about, derived from the small example that it holds, by name; those that only serve to be extended are left out.</summary>
    public IReadOnlyList<ArchitectureSummary> Summaries => [.. descriptions.Where(d => d.ModelTypes.Count > 0).Select(ArchitectureSummary.Of)];

    /// <summary>The graph of a model.</summary>
    /// <param name="config">config.json, in either form.</param>
    /// <param name="shapes">Name and shape of every tensor of the checkpoint; a quantised module counts as one <c>.weight</c> of [out, in].</param>
    /// <param name="quantizedModules">Full names of the modules that the checkpoint holds quantised; none in a float checkpoint.</param>
    /// <exception cref="AwqException"><c>ArchitectureNotSupported</c>, <c>ConfigKeyMissing</c>, <c>ConfigValueNotSupported</c>,
    /// <c>TensorMissing</c>, <c>TensorShapeMismatch</c>, <c>TensorUnclaimed</c>.</exception>
    public ModelGraph Resolve(JsonObject config, IReadOnlyDictionary<string, long[]> shapes, IReadOnlySet<string>? quantizedModules = null)
    {
        quantizedModules ??= new HashSet<string>();
        var type = (config["model_type"] as JsonValue)?.ToString();
        if (type is not null && byType.TryGetValue(type, out var description))
            return ModelGraphBuilder.Build(description, type, config, shapes, quantizedModules);
        if (config.ContainsKey("vision_config") || config.ContainsKey("audio_config") || config.ContainsKey("text_config"))
        {
            throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
                $"config.json: '{type}' is a model with more than text (it has a vision_config, audio_config or text_config); only text models are quantised.",
                "Use the text-only model of this family.");
        }
        return Match(type ?? "", config, shapes, quantizedModules) ?? throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
            $"config.json: the model type '{type}' has no architecture description, and none of the known ones fits its tensors.",
            "Describe the architecture in a JSON file and pass it with -ArchitecturePath; Get-AwqArchitecture lists the known ones.");
    }

    /// <summary>
    /// The description that claims every tensor of the checkpoint with its shape and leaves the fewest config keys unread; of
    /// equals, the one that extends the fewest others.
    /// </summary>
    private ModelGraph? Match(string type, JsonObject config, IReadOnlyDictionary<string, long[]> shapes, IReadOnlySet<string> quantizedModules)
    {
        var fits = new List<(ModelGraph Graph, Description Description)>();
        foreach (var description in descriptions.Where(d => d.ModelTypes.Count > 0))
        {
            try
            {
                fits.Add((ModelGraphBuilder.Build(description, type, config, shapes, quantizedModules) with { MatchedByShape = true }, description));
            }
            catch (AwqException e) when (e.Id is "ConfigKeyMissing" or "ConfigValueNotSupported" or "TensorMissing" or "TensorShapeMismatch" or "TensorUnclaimed")
            {
                // It is not this one.
            }
        }
        return fits.OrderBy(f => f.Graph.UnreadConfigKeys.Count).ThenBy(f => f.Description.Depth)
            .ThenBy(f => f.Description.Name, StringComparer.Ordinal).Select(f => f.Graph).FirstOrDefault();
    }
}
