namespace AwqQuantize.Engine.Architectures;

/// <summary>Collects what the blocks of one layer declare.</summary>
internal sealed class LayerPlan(string prefix, bool transposedLinears)
{
    public List<LinearSpec> Linears { get; } = [];

    public List<ParameterSpec> Parameters { get; } = [];

    public List<ScaleGroup> Groups { get; } = [];

    /// <summary>Index of the block that is being described.</summary>
    public int Block { get; set; }

    public string Prefix => prefix;

    /// <summary>A linear with its weight, and its bias if it has one, stored under its own name.</summary>
    public void Linear(LinearSpec linear, bool float32 = false)
    {
        Linears.Add(linear);
        long[] shape = [linear.Out, linear.In];
        Parameters.Add(new ParameterSpec($"{linear.Module}.weight", shape,
            new StoredTensor($"{prefix}{linear.Module}.weight", transposedLinears ? [linear.In, linear.Out] : shape, float32), transposedLinears));
        if (linear.HasBias)
            Parameter($"{linear.Module}.bias", linear.Out);
    }

    /// <summary>A linear whose parameters lie in other tensors (stacked experts).</summary>
    public void Linear(LinearSpec linear, params ParameterSpec?[] parameters)
    {
        Linears.Add(linear);
        Parameters.AddRange(parameters.OfType<ParameterSpec>());
    }

    public void Parameter(string name, params long[] shape) =>
        Parameters.Add(new ParameterSpec(name, shape, new StoredTensor(prefix + name, shape)));

    public void Float32Parameter(string name, params long[] shape) =>
        Parameters.Add(new ParameterSpec(name, shape, new StoredTensor(prefix + name, shape, KeepFloat32: true)));

    public void Norm(NormSpec? norm)
    {
        // Parallel blocks may read the same norm.
        if (norm is null || Parameters.Any(p => p.Name == $"{norm.Module}.weight" || p.Name == $"{norm.Module}.bias"))
            return;
        if (norm.HasWeight)
            Parameters.Add(new ParameterSpec($"{norm.Module}.weight", [norm.Size], new StoredTensor($"{prefix}{norm.Module}.weight", [norm.Size])) { OnePlus = norm.OnePlus });
        if (norm.HasBias)
            Parameter($"{norm.Module}.bias", norm.Size);
    }

    public void Group(string site, int channels, ScaleProducer producer, IEnumerable<ScaleConsumer> consumers, bool feedsNonlinear) =>
        Group(site, channels, [producer], consumers, feedsNonlinear);

    public void Group(string site, int channels, IReadOnlyList<ScaleProducer> producers, IEnumerable<ScaleConsumer> consumers, bool feedsNonlinear)
    {
        static string Some(IEnumerable<string> modules) => string.Join(", ", modules.Take(9).Select((m, i) => i < 8 ? m : "…"));
        var readers = consumers.ToList();
        Groups.Add(new ScaleGroup($"{Some(producers.Select(p => p.Module))} -> {Some(readers.Select(c => c.Module))}", site, channels, producers, readers, Block, feedsNonlinear));
    }

    /// <summary>Channels of a norm that feeds linears of this layer.</summary>
    public void NormGroup(NormSpec? norm, string site, IEnumerable<string> consumers)
    {
        if (norm is { HasWeight: true })
        {
            Group(site, norm.Size, new ScaleProducer(norm.Module, norm.OnePlus ? ScaleProducerKind.OnePlusNorm : ScaleProducerKind.Norm),
                consumers.Select(c => new ScaleConsumer(c)), feedsNonlinear: true);
        }
    }

    /// <summary>The name that readers give to modules they fuse, beside one of its parts.</summary>
    public static string Sibling(string module, string name) =>
        module.LastIndexOf('.') is var dot and >= 0 ? module[..(dot + 1)] + name : name;
}
