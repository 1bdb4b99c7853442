using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>A checkpoint of given names and shapes with random values, the same at every run.</summary>
internal sealed class RandomModel(IReadOnlyDictionary<string, long[]> shapes) : ITensorSource
{
    public bool Contains(string name) => shapes.ContainsKey(name);

    public long[] Shape(string name) => shapes[name];

    public Tensor Read(string name, Device device)
    {
        var shape = shapes[name];
        var count = shape.Aggregate(1L, (a, b) => a * b);
        var seed = name.Aggregate(17, (hash, c) => unchecked(hash * 31 + c));
        var random = new Random(seed);
        // Norms near 1, linears scaled by their inputs.
        var size = shape.Length >= 2 ? 1.2 / Math.Sqrt(shape[^1]) : 0.2;
        var middle = shape.Length == 1 && name.EndsWith("weight", StringComparison.Ordinal) ? 1.0 : 0.0;
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = (float)(middle + size * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return tensor(values, shape);
    }

    /// <summary>Opens the model; the shapes must be all that its description claims, no more and no less.</summary>
    public static DecoderModel Open(string config, string shapeTable)
    {
        var shapes = Shapes(shapeTable);
        var graph = Repository.Catalog.Resolve(JsonNode.Parse(config)!.AsObject(), shapes);
        return DecoderModel.Open(graph, new RandomModel(shapes), CPU);
    }

    /// <summary>
    /// A table of lines <c>name dim dim …</c>, with {a-b} for every number of a range; <c>#</c> begins a comment.
    /// </summary>
    public static Dictionary<string, long[]> Shapes(string table)
    {
        var shapes = new Dictionary<string, long[]>();
        foreach (var line in table.Split('\n').Select(l => l.Split('#')[0].Trim()).Where(l => l.Length > 0))
        {
            var parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            foreach (var name in Expand(parts[0]))
                shapes.Add(name, [.. parts.Skip(1).Select(long.Parse)]);
        }
        return shapes;
    }

    private static IEnumerable<string> Expand(string name)
    {
        var open = name.IndexOf('{');
        if (open < 0)
            return [name];
        var close = name.IndexOf('}', open);
        var alternatives = name[(open + 1)..close] is var inside && inside.Contains(',') ? inside.Split(',')
            : [.. Enumerable.Range(int.Parse(inside.Split('-')[0]), int.Parse(inside.Split('-')[1]) - int.Parse(inside.Split('-')[0]) + 1).Select(n => $"{n}")];
        return alternatives.SelectMany(a => Expand(name[..open] + a + name[(close + 1)..]));
    }
}
