using System.Runtime.InteropServices;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// The tensors of a checkpoint that is rounded without calibration. Each is computed when its turn to be written comes, and the next
/// one while it is written; nothing is written twice, so that such a run takes about as long as copying the files.
/// </summary>
internal sealed unsafe class PlainCheckpoint(ModelFolder folder, ModelGraph graph, QuantizationOptions options)
{
    private readonly List<(string Module, ParameterSpec Weight)> linears = [];
    private readonly Dictionary<string, Task<AwqTensors>> ahead = [];
    private readonly Lock unpacking = new();
    private (string Name, float[] Values) unpacked = ("", []);
    private readonly Dictionary<string, AwqTensors> rest = []; // zero points and scales, until they are written
    private readonly Dictionary<int, Stack<int[]>> spare = []; // memory of words that are written: fresh pages cost as much as the work

    /// <summary>All tensors in the order of a calibrated run's parts.</summary>
    /// <param name="layerDone">Told the index of a layer when its last linear is written.</param>
    public IReadOnlyList<TensorPayload> Tensors(Action<int> layerDone)
    {
        var tensors = new List<TensorPayload>(Ordered(graph.OuterTensors.Where(t => folder.Tensors.ContainsKey(t.Name))
            .Select(t => graph.KeepFloat32.Contains(t.Name) ? TensorPayload.Copy(folder, t.Name) : TensorPayload.AsHalf(folder, t.Name))));
        foreach (var layer in graph.Layers)
        {
            var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
            var quantized = layer.Linears.Where(l => !kept.ContainsKey(l.Module)).Select(l => l.Module).ToHashSet();
            var own = new List<TensorPayload>();
            foreach (var module in quantized.Order(StringComparer.Ordinal))
                own.AddRange(Linear(layer, module, quantized.Max(StringComparer.Ordinal) == module ? layerDone : _ => { }));
            own.AddRange(Floats(layer, quantized));
            tensors.AddRange(Ordered(own));
        }
        return tensors;
    }

    /// <summary>What every layer's outcome is where nothing is looked at.</summary>
    public static List<LayerOutcome> Outcomes(ModelGraph graph, QuantizationOptions options) => [.. graph.Layers.Select(layer =>
    {
        var kept = ModuleSelection.StayFloat(layer, options.GroupSize, options.ExcludeModule);
        return new LayerOutcome
        {
            Layer = layer.Index, Groups = [], Linears = [.. layer.Linears.Where(l => !kept.ContainsKey(l.Module)).Select(l => new LinearOutcome(l.Module, 0, 0))], Float = kept,
            SequenceLength = 0, LargestActivation = 0, Warnings = [], Seconds = new Dictionary<string, double>(),
        };
    })];

    private static IEnumerable<TensorPayload> Ordered(IEnumerable<TensorPayload> tensors) =>
        tensors.OrderBy(t => t.Name, StringComparer.Ordinal).OrderByDescending(t => t.Dtype.BitSize());

    private IEnumerable<TensorPayload> Linear(LayerGraph layer, string module, Action<int> done)
    {
        var weight = layer.Parameters.First(p => p.Name == module + ".weight");
        var name = layer.Prefix + module;
        var (rows, columns) = ((int)weight.Shape[0], (int)weight.Shape[1]);
        var groups = columns / options.GroupSize;
        var index = linears.Count;
        linears.Add((name, weight));
        yield return new TensorPayload(name + ".qweight", TensorDtype.I32, [columns, rows / 8], stream =>
        {
            var tensors = Take(index);
            rest[name] = tensors with { QWeight = [] };
            stream.Write(MemoryMarshal.AsBytes(tensors.QWeight.AsSpan()));
            Spare(tensors.QWeight.Length).Push(tensors.QWeight);
            done(layer.Index);
        });
        yield return new TensorPayload(name + ".qzeros", TensorDtype.I32, [groups, rows / 8], stream => stream.Write(MemoryMarshal.AsBytes(Rest(index, name).QZeros.AsSpan())));
        yield return new TensorPayload(name + ".scales", TensorDtype.F16, [groups, rows], stream =>
        {
            stream.Write(MemoryMarshal.AsBytes(Rest(index, name).Scales.AsSpan()));
            rest.Remove(name);
        });
    }

    /// <summary>Zero points and scales; a shard may begin between a linear's tensors.</summary>
    private AwqTensors Rest(int index, string name) => rest.TryGetValue(name, out var tensors) ? tensors : rest[name] = Take(index) with { QWeight = [] };

    /// <summary>A linear's tensors; the work on the next one begins.</summary>
    private AwqTensors Take(int index)
    {
        var task = Begin(index);
        ahead.Remove(linears[index].Module);
        if (index + 1 < linears.Count)
            Begin(index + 1);
        return task.GetAwaiter().GetResult();
    }

    private Task<AwqTensors> Begin(int index)
    {
        var (module, weight) = linears[index];
        if (ahead.TryGetValue(module, out var begun))
            return begun;
        if (index + 2 < linears.Count)
            Prefetch(linears[index + 2].Weight.Stored.Name);
        var length = checked((int)(weight.Shape[0] / 8 * weight.Shape[1]));
        var words = Spare(length).TryPop(out var used) ? used : GC.AllocateUninitializedArray<int>(length);
        return ahead[module] = Task.Run(() =>
        {
            var source = Source(weight);
            var packed = PlainLinear.Pack(source, options.GroupSize, words) ?? throw NotFinite(module + ".weight");
            source.Release();
            return packed;
        });
    }

    private Stack<int[]> Spare(int length) => spare.TryGetValue(length, out var stack) ? stack : spare[length] = [];

    /// <summary>Everything of a layer that stays float, as <see cref="Layers.LayerWeights.StoredTensors"/> gives it.</summary>
    private List<TensorPayload> Floats(LayerGraph layer, HashSet<string> quantized)
    {
        static string Module(ParameterSpec p) => p.Name[..Math.Max(0, p.Name.LastIndexOf('.'))];
        var tensors = new List<TensorPayload>();
        foreach (var stored in layer.Parameters.GroupBy(p => p.Stored))
        {
            if (!stored.Any(p => quantized.Contains(Module(p))))
            {
                if (Mxfp4.Holds(folder, stored.Key.Name))
                {
                    tensors.Add(Single(stored.Key.Name, stored.Key.Shape, stored.Key.KeepFloat32, destination => Mxfp4.Read(folder, stored.Key.Name, destination)));
                    continue;
                }
                var entry = folder.Entry(stored.Key.Name);
                tensors.Add(!stored.Key.KeepFloat32 ? TensorPayload.AsHalf(folder, entry.Name)
                    : entry.Dtype == TensorDtype.F32 ? TensorPayload.Copy(folder, entry.Name)
                    : Single(entry.Name, entry.Shape, true, destination => folder.ReadFloat(entry.Name, destination)));
                continue;
            }
            foreach (var part in stored.Where(p => !quantized.Contains(Module(p)) || !p.Name.EndsWith(".weight", StringComparison.Ordinal)))
            {
                tensors.Add(Single(layer.Prefix + part.Name, part.Shape, stored.Key.KeepFloat32, destination =>
                {
                    var source = Source(part);
                    source.Read(0, source.Rows, destination);
                }));
            }
        }
        return tensors;
    }

    private void Prefetch(string tensor)
    {
        if (folder.Tensors.ContainsKey(tensor))
            folder.Prefetch(tensor);
    }

    /// <summary>A parameter; what is stored in MXFP4 is unpacked once for all experts of a tensor.</summary>
    private ParameterSource Source(ParameterSpec parameter)
    {
        var tensor = parameter.Stored.Name;
        if (!Mxfp4.Holds(folder, tensor))
            return new ParameterSource(folder, parameter);
        lock (unpacking)
        {
            if (unpacked.Name != tensor)
            {
                unpacked = (tensor, new float[TensorDtypeExtensions.ElementCount(parameter.Stored.Shape)]);
                fixed (float* data = unpacked.Values)
                    Mxfp4.Read(folder, tensor, data);
            }
            return new ParameterSource(folder, parameter, unpacked.Values);
        }
    }

    private delegate void Reading(float* destination);

    private static TensorPayload Single(string name, long[] shape, bool keepFloat32, Reading read) =>
        new(name, keepFloat32 ? TensorDtype.F32 : TensorDtype.F16, shape, stream =>
        {
            var values = new float[TensorDtypeExtensions.ElementCount(shape)];
            fixed (float* data = values)
            {
                read(data);
                if (keepFloat32)
                    stream.Write(MemoryMarshal.AsBytes(values.AsSpan()));
                else
                    TensorPayload.HalfFromFloat(name, shape, data).Write(stream);
            }
        });

    private AwqException NotFinite(string tensor) => new("TensorNotFinite", AwqErrorKind.InvalidData,
        $"Tensor '{tensor}' of '{folder.Path}' holds values that are infinite or not a number.", "The model's weights are damaged: download them again, or use another checkpoint.");
}
