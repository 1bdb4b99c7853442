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
    /// <returns>Of a known type, or of the known family that its tensors fit (<see cref="ModelGraph.MatchedByShape"/>), or of linears only
    /// (<see cref="ModelGraph.LinearsOnly"/>).</returns>
    /// <exception cref="AwqException"><c>ArchitectureNotSupported</c>, <c>ConfigKeyMissing</c>, <c>ConfigValueNotSupported</c>,
    /// <c>TensorMissing</c>, <c>TensorShapeMismatch</c>, <c>TensorUnclaimed</c>.</exception>
    public ModelGraph Resolve(JsonObject config, IReadOnlyDictionary<string, long[]> shapes, IReadOnlySet<string>? quantizedModules = null)
    {
        quantizedModules ??= new HashSet<string>();
        var type = (config["model_type"] as JsonValue)?.ToString();
        if (type is not null && byType.TryGetValue(type, out var description))
            return ModelGraphBuilder.Build(description, type, config, shapes, quantizedModules);
        if (config.ContainsKey("vision_config") || config.ContainsKey("audio_config") || config.ContainsKey("text_config"))
            return TextOf(type, config, shapes, quantizedModules);
        return Match(type ?? "", config, shapes, quantizedModules) ?? PlainGraph.Of(type ?? "", config, shapes, quantizedModules)
            ?? throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
            $"config.json: the model type '{type}' has no architecture description, none of the known ones fits its tensors, and these have no numbered layers.",
            "Describe the architecture in a JSON file and pass it with -ArchitecturePath; Get-AwqArchitecture lists the known ones.");
    }

    /// <summary>The text part of a model that can have others, where the checkpoint holds nothing else.</summary>
    private ModelGraph TextOf(string? type, JsonObject config, IReadOnlyDictionary<string, long[]> shapes, IReadOnlySet<string> quantizedModules)
    {
        var text = config["text_config"] as JsonObject;
        var inner = (text?["model_type"] as JsonValue)?.ToString();
        string reason;
        if (inner is not null && byType.TryGetValue(inner, out var description))
        {
            var own = text!.DeepClone().AsObject();
            if (!own.ContainsKey("tie_word_embeddings") && config["tie_word_embeddings"] is { } tied)
                own["tie_word_embeddings"] = tied.DeepClone();
            try
            {
                return ModelGraphBuilder.Build(description, inner, own, shapes, quantizedModules);
            }
            catch (AwqException e) when (e.Id == "TensorUnclaimed")
            {
                reason = $"the checkpoint holds more than its text model '{inner}': {e.Message}";
            }
        }
        else
            reason = inner is null ? "it has no text_config with a model_type" : $"its text model '{inner}' has no architecture description";
        throw new AwqException("ArchitectureNotSupported", AwqErrorKind.NotSupported,
            $"config.json: '{type}' is a model with more than text, and only text models are quantised; {reason}",
            "Use the text-only model of this family.");
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
