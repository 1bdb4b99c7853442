using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace AwqQuantize.Engine.Architectures;

/// <summary>
/// A model that no description fits: its layers are told by the numbers in its tensor names, its linears by their two dimensions.
/// Nothing is known of what it computes, so it cannot be run, and its linears can only be rounded plainly.
/// </summary>
internal static partial class PlainGraph
{
    /// <summary>A matrix with fewer outputs than this is rather a router or a gate.</summary>
    private const int FewestOutputs = 64;

    [GeneratedRegex(@"^(?<stem>.*?[^.\d][^.]*)\.(?<index>\d+)\.(?<rest>.+)$")]
    private static partial Regex LayerName();

    [GeneratedRegex(@"(^|[._])(rotary_emb|masked_bias|inv_freq)([._]|$)")]
    private static partial Regex Meaningless();

    [GeneratedRegex("norm|embed|router|^gate$|^wg$|^wte$|^wpe$|^ln_", RegexOptions.IgnoreCase)]
    private static partial Regex NoLinear();

    /// <summary>The graph, or null where the tensors have no layers.</summary>
    public static ModelGraph? Of(string type, JsonObject config, IReadOnlyDictionary<string, long[]> shapes, IReadOnlySet<string> quantizedModules)
    {
        var named = shapes.Where(t => !Meaningless().IsMatch(t.Key)).Select(t => (t.Key, t.Value, Match: LayerName().Match(t.Key))).ToList();
        var stem = named.Where(t => t.Match.Success).GroupBy(t => t.Match.Groups["stem"].Value)
            .OrderByDescending(g => g.Sum(t => t.Value.Aggregate(1.0, (a, b) => a * b))).ThenBy(g => g.Key, StringComparer.Ordinal).FirstOrDefault();
        if (stem is null)
            return null;
        var byIndex = stem.GroupBy(t => int.Parse(t.Match.Groups["index"].Value)).OrderBy(g => g.Key).ToList();
        if (byIndex.Select((g, i) => g.Key == i).Contains(false))
            return null;
        int Size(params string[] keys) => keys.Select(k => config[k] is JsonValue v && v.TryGetValue(out int size) ? size : 0).FirstOrDefault(s => s > 0);
        var hidden = Size("hidden_size", "d_model", "n_embd");
        var layers = byIndex.Select(g => Layer(g.Key, hidden, $"{stem.Key}.{g.Key}.", g.Select(t => (t.Match.Groups["rest"].Value, t.Value)), quantizedModules)).ToList();
        var outer = named.Where(t => !t.Match.Success || t.Match.Groups["stem"].Value != stem.Key).Select(t => new StoredTensor(t.Key, t.Value)).ToList();
        var vocabulary = Size("vocab_size");
        var tokens = outer.Find(t => t.Shape.Length == 2 && t.Shape[0] == vocabulary)?.Name ?? "";
        return new ModelGraph
        {
            ModelType = type,
            Family = "unknown",
            LinearsOnly = true,
            HiddenSize = hidden,
            VocabularySize = vocabulary,
            MaxPositions = Math.Max(1, Size("max_position_embeddings", "n_positions")),
            TiedHead = !shapes.ContainsKey("lm_head.weight"),
            Embedding = new EmbeddingSpec(tokens, hidden, 1, null, null, 0, 0, false, null),
            Head = new HeadSpec(null, shapes.ContainsKey("lm_head.weight") ? "lm_head.weight" : tokens, null, 1, 0, null, false),
            Layers = layers,
            OuterTensors = outer,
            KeepFloat32 = new HashSet<string>(),
            IgnoredTensors = [.. shapes.Keys.Where(n => Meaningless().IsMatch(n)).Order(StringComparer.Ordinal)],
            UnreadConfigKeys = [],
        };
    }

    private static LayerGraph Layer(int index, int hidden, string prefix, IEnumerable<(string Name, long[] Shape)> tensors, IReadOnlySet<string> quantizedModules)
    {
        var parameters = new List<ParameterSpec>();
        var linears = new List<LinearSpec>();
        var all = tensors.OrderBy(t => t.Name, StringComparer.Ordinal).ToList();
        foreach (var (name, shape) in all)
        {
            parameters.Add(new ParameterSpec(name, shape, new StoredTensor(prefix + name, shape)));
            if (!name.EndsWith(".weight", StringComparison.Ordinal) || shape.Length != 2)
                continue;
            var module = name[..^".weight".Length];
            var reason = quantizedModules.Contains(prefix + module) ? null
                : NoLinear().IsMatch(module[(module.LastIndexOf('.') + 1)..]) ? "its name is not that of a linear"
                : shape[0] < FewestOutputs ? $"its {shape[0]} outputs are few: it may be a router" : null;
            linears.Add(new LinearSpec(module, (int)shape[1], (int)shape[0], all.Exists(t => t.Name == module + ".bias"), $"{module}.input", KeepFloatReason: reason));
        }
        return new LayerGraph
        {
            Index = index,
            HiddenSize = hidden,
            Prefix = prefix,
            Blocks = [],
            Steps = [],
            Linears = linears,
            ScaleGroups = [],
            Parameters = parameters,
            TensorNames = [.. parameters.Select(p => p.Stored.Name)],
        };
    }
}
