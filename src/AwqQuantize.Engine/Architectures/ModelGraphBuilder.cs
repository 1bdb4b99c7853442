using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Architectures;

/// <summary>Puts a config's values into a description and holds the result against the checkpoint's tensors.</summary>
internal static partial class ModelGraphBuilder
{
    /// <param name="shapes">Null to take the tensors on trust.</param>
    public static ModelGraph Build(Description description, string type, JsonObject rawConfig,
        IReadOnlyDictionary<string, long[]>? shapes, IReadOnlySet<string> quantizedModules)
    {
        var config = ConfigForms.Normalise(rawConfig);
        var json = description.Json;
        var variables = (json["let"] as JsonObject ?? []).ToDictionary(p => p.Key, p => p.Value);
        var scope = new ExpressionScope(description.File, config, variables, [.. shapes?.Keys ?? []]);
        CheckSupported(json, config);

        var root = ChooseRoot(json, shapes ?? new Dictionary<string, long[]>());
        var top = new DescriptionNode(json, scope, "", root);
        int Size(string name) => scope.Variable(name) is double d && d > 0 ? (int)d
            : throw scope.Missing(variables.GetValueOrDefault(name)?.ToString() ?? "null", $"let.{name}");
        var (hidden, layerCount, vocabulary, positions) = (Size("hidden"), Size("layers"), Size("vocabulary"), Size("positions"));
        var norms = top.Required("norm");

        var outer = new List<StoredTensor>();
        var embedding = ReadEmbedding(top.Required("embedding"), norms, hidden, vocabulary, outer);
        var (head, tied) = ReadHead(top, norms, embedding, hidden, vocabulary, shapes ?? new Dictionary<string, long[]>(), outer);
        var layers = new List<LayerGraph>();
        for (var i = 0; i < layerCount; i++)
        {
            var own = new DescriptionNode(json, scope.ForLayer(i), "", root);
            layers.Add(LayerGraph.Read(own.Required("layer"), own.Required("norm"), i, hidden, positions, quantizedModules));
        }
        CheckNeutral(json, config, scope);

        var claimed = outer.Concat(layers.SelectMany(l => l.Parameters.Select(p => p.Stored))).DistinctBy(t => t.Name).ToList();
        var ignored = shapes is null ? [] : CheckTensors(claimed, shapes, top, layers, tied);
        return new ModelGraph
        {
            ModelType = type,
            Family = description.Name,
            HiddenSize = hidden,
            VocabularySize = vocabulary,
            MaxPositions = positions,
            TiedHead = tied,
            Embedding = embedding,
            Head = head,
            Layers = layers,
            OuterTensors = outer,
            KeepFloat32 = claimed.Where(t => t.KeepFloat32).Select(t => t.Name).ToHashSet(),
            IgnoredTensors = ignored,
            UnreadConfigKeys = UnreadKeys(json, config),
        };
    }

    /// <summary>Keys that no expression of the description mentions and that are not known to be without effect.</summary>
    private static List<string> UnreadKeys(JsonObject json, JsonObject config)
    {
        var mentioned = ConfigKey().Matches(json.ToJsonString()).Select(m => m.Groups[1].Value).ToHashSet();
        mentioned.UnionWith((json["supported"] as JsonObject ?? []).Select(p => p.Key.Split('.')[0]));
        mentioned.UnionWith((json["neutral"] as JsonObject ?? []).Select(p => p.Key));
        var inert = (json["inert"] as JsonArray ?? []).Select(p => Pattern(p!.GetValue<string>())).ToList();
        return [.. config.Select(p => p.Key).Where(k => !mentioned.Contains(k) && !inert.Exists(p => p.IsMatch(k)))];
    }

    [GeneratedRegex(@"\$([A-Za-z_][A-Za-z0-9_]*)")]
    private static partial Regex ConfigKey();

    /// <summary>A pattern in which * stands for any characters.</summary>
    private static Regex Pattern(string pattern) => new($"^{Regex.Escape(pattern).Replace("\\*", ".*")}$");

    private static string ChooseRoot(JsonObject json, IReadOnlyDictionary<string, long[]> shapes)
    {
        var roots = json["roots"] switch
        {
            JsonArray a => a.Select(r => r!.GetValue<string>()).ToList(),
            JsonValue v => [v.GetValue<string>()],
            _ => [""],
        };
        var tokens = json["embedding"]?["tokens"]?.ToString() ?? "";
        return roots.Find(r => shapes.ContainsKey(tokens.Replace("{root}", r) + ".weight")) ?? roots[0];
    }

    private static void CheckSupported(JsonObject json, JsonObject config)
    {
        foreach (var (key, allowed) in json["supported"] as JsonObject ?? [])
        {
            var values = (allowed as JsonArray ?? []).Select(v => v?.ToJsonString() ?? "null").ToList();
            JsonNode? value = config;
            foreach (var part in key.Split('.'))
                value = (value as JsonObject)?[part];
            if (value is not null && !values.Contains(value.ToJsonString()))
                throw ExpressionScope.UnsupportedKey(key, value.ToJsonString(), values);
        }
    }

    private static void CheckNeutral(JsonObject json, JsonObject config, ExpressionScope scope)
    {
        foreach (var (key, allowed) in json["neutral"] as JsonObject ?? [])
        {
            if (scope.ReadKeys.Contains(key) || config[key] is not { } value || (json["supported"] as JsonObject ?? []).ContainsKey(key))
                continue;
            var values = (allowed as JsonArray ?? []).Select(v => Expression.FromJson(v)).ToList();
            if (!values.Any(v => Equals(v, Expression.FromJson(value))))
                throw ExpressionScope.UnsupportedKey(key, value.ToJsonString(), [.. values.Select(v => v?.ToString() ?? "null"), "the key's absence"]);
        }
    }

    private static EmbeddingSpec ReadEmbedding(DescriptionNode node, DescriptionNode norms, int hidden, int vocabulary, List<StoredTensor> outer)
    {
        var width = node.Integer("width") ?? hidden;
        var spec = new EmbeddingSpec(
            node.RequiredText("tokens") + ".weight", width, node.Number("multiplier") ?? 1, node.Norm("norm", norms, hidden),
            node.Text("positions") is { } positions ? positions + ".weight" : null, node.Integer("position_rows") ?? 0,
            node.Integer("position_offset") ?? 0, node.Flag("sinusoidal", false), node.Text("project_in"));
        outer.Add(new StoredTensor(spec.Tokens, [vocabulary, width]));
        if (spec.Positions is not null)
            outer.Add(new StoredTensor(spec.Positions, [spec.PositionRows, hidden]));
        if (spec.ProjectIn is not null)
            outer.Add(new StoredTensor($"{spec.ProjectIn}.weight", [hidden, width]));
        AddNorm(spec.Norm, outer);
        return spec;
    }

    private static (HeadSpec Head, bool Tied) ReadHead(DescriptionNode top, DescriptionNode norms, EmbeddingSpec embedding, int hidden,
        int vocabulary, IReadOnlyDictionary<string, long[]> shapes, List<StoredTensor> outer)
    {
        var node = top.Required("head");
        var names = node.Texts("name");
        var name = names.FirstOrDefault(n => shapes.ContainsKey($"{n}.weight")) ?? names.FirstOrDefault() ?? "lm_head";
        var tied = node.Flag("tied", false);
        var spec = new HeadSpec(top.Norm("final_norm", norms, hidden), tied ? embedding.Tokens : $"{name}.weight",
            node.Flag("bias", false) ? $"{name}.bias" : null, node.Number("multiplier") ?? 1, node.Number("soft_cap") ?? 0,
            node.Text("project_out"), node.Flag("normalized_weight", false));
        AddNorm(spec.FinalNorm, outer);
        if (!tied)
            outer.Add(new StoredTensor(spec.Weight, [vocabulary, embedding.Width]));
        if (spec.Bias is not null)
            outer.Add(new StoredTensor(spec.Bias, [vocabulary]));
        if (spec.ProjectOut is not null)
            outer.Add(new StoredTensor($"{spec.ProjectOut}.weight", [embedding.Width, hidden]));
        return (spec, tied);
    }

    private static void AddNorm(NormSpec? norm, List<StoredTensor> outer)
    {
        if (norm is { HasWeight: true })
            outer.Add(new StoredTensor($"{norm.Module}.weight", [norm.Size]));
        if (norm is { HasBias: true })
            outer.Add(new StoredTensor($"{norm.Module}.bias", [norm.Size]));
    }

    private static List<string> CheckTensors(List<StoredTensor> claimed, IReadOnlyDictionary<string, long[]> shapes, DescriptionNode top,
        List<LayerGraph> layers, bool tied)
    {
        foreach (var tensor in claimed)
        {
            if (!shapes.TryGetValue(tensor.Name, out var shape))
            {
                throw new AwqException("TensorMissing", AwqErrorKind.NotFound, $"The checkpoint has no tensor '{tensor.Name}'.",
                    "Download the model again; if it is complete, its architecture differs from the description of its model type.");
            }
            if (!shape.SequenceEqual(tensor.Shape))
            {
                throw new AwqException("TensorShapeMismatch", AwqErrorKind.InvalidData,
                    $"The tensor '{tensor.Name}' has the shape [{string.Join(", ", shape)}]; config.json asks for [{string.Join(", ", tensor.Shape)}].",
                    "config.json and the weights do not belong together, or the architecture differs from the description of its model type.");
            }
        }
        var names = claimed.Select(t => t.Name).ToHashSet();
        var patterns = top.Texts("ignored_tensors").Select(Pattern).ToList();
        // A tied head that is stored all the same is a copy of the embedding.
        if (tied)
            patterns.AddRange(top.Required("head").Texts("name").Select(n => new Regex($"^{Regex.Escape(n)}\\.weight$")));
        var beyond = top.Flag("ignore_layers_beyond", false) ? LayersBeyond(layers) : null;
        var ignored = new List<string>();
        foreach (var name in shapes.Keys.Where(n => !names.Contains(n)).Order(StringComparer.Ordinal))
        {
            if (!patterns.Exists(p => p.IsMatch(name)) && beyond?.Invoke(name) != true)
            {
                throw new AwqException("TensorUnclaimed", AwqErrorKind.NotSupported,
                    $"No part of the architecture '{layers[0].Prefix}…' uses the tensor '{name}'.",
                    "The model has parts that this program would silently drop; describe them with -ArchitecturePath.");
            }
            ignored.Add(name);
        }
        return ignored;
    }

    private static Func<string, bool> LayersBeyond(List<LayerGraph> layers)
    {
        var stem = layers[0].Prefix[..^"0.".Length];
        return name => name.StartsWith(stem, StringComparison.Ordinal) &&
            int.TryParse(name[stem.Length..].Split('.')[0], out var index) && index >= layers.Count;
    }
}
