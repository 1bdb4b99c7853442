using System.Text.Json;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>What a tuning keeps in the run folder: the best values so far, and the state to go on from.</summary>
/// <param name="folder">An existing folder.</param>
/// <param name="residuals">Files that say how close the decision for each code was; none where codes are left as they are.</param>
public sealed unsafe class TuningFiles(string folder, IReadOnlyList<string> residuals)
{
    private const string StateKey = "state";

    /// <summary>The tensors of the checkpoint that were changed, as a part file; not there while nothing was better than the untuned model.</summary>
    public string Best => Path.Combine(folder, "tuned.safetensors");

    /// <summary>Where hidden states go that do not fit into memory.</summary>
    public string Spill => Path.Combine(folder, "tuning.spill");

    private string State => Path.Combine(folder, "tuning.safetensors");

    /// <summary>The residuals of a linear, [out, in], in codes; null where none were kept.</summary>
    internal Tensor? Residuals(string module)
    {
        foreach (var path in residuals)
        {
            using var file = SafetensorsFile.Open(path);
            if (!file.Tensors.TryGetValue(module, out var entry))
                continue;
            var values = new ReadOnlySpan<sbyte>(file.Pointer(entry), checked((int)entry.ByteLength)).ToArray();
            using var bytes = tensor(values, entry.Shape);
            return bytes.to(ScalarType.Float32).div_(256);
        }
        return null;
    }

    internal void SaveBest(IEnumerable<TensorPayload> tensors) => PartFile.Write(Best, [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)]);

    internal void Save(IEnumerable<Tensor> values, TuningState state)
    {
        using var scope = NewDisposeScope();
        var tensors = values.Select(ComputeDevice.Download).Select((t, i) => TensorPayload.FromPointer($"{i:D8}", TensorDtype.F32, t.shape, (byte*)TensorMemory.Floats(t), t.numel() * sizeof(float)));
        PartFile.Write(State, [.. tensors], new Dictionary<string, string> { [StateKey] = JsonSerializer.Serialize(state) });
    }

    /// <summary>Takes up an earlier tuning, if there is one that tuned the same: with more or less memory, codes may have stayed as they were.</summary>
    internal bool TryLoad(IEnumerable<Tensor> values, out TuningState? state)
    {
        state = null;
        if (!File.Exists(State))
            return false;
        using var file = SafetensorsFile.Open(State);
        using var guard = no_grad();
        var tensors = values.ToList();
        if (file.Tensors.Count != tensors.Count || tensors.Where((t, i) => !file.Tensors[$"{i:D8}"].Shape.SequenceEqual(t.shape)).Any())
            return false;
        foreach (var (tensor, i) in tensors.Select((t, i) => (t, i)))
        {
            using var scope = NewDisposeScope();
            var entry = file.Tensors[$"{i:D8}"];
            var value = ComputeDevice.Download(tensor);
            new ReadOnlySpan<byte>(file.Pointer(entry), checked((int)entry.ByteLength)).CopyTo(new Span<byte>(TensorMemory.Floats(value), checked((int)entry.ByteLength)));
            if (!ReferenceEquals(value, tensor))
                tensor.copy_(value);
        }
        state = JsonSerializer.Deserialize<TuningState>(file.Metadata[StateKey]);
        return state is not null;
    }
}
