using System.Text.Json;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>What a tuning keeps in the run folder: the best values so far, and the state to go on from.</summary>
/// <param name="folder">An existing folder.</param>
public sealed unsafe class TuningFiles(string folder)
{
    private const string StateKey = "state";

    /// <summary>The tensors of the checkpoint that were changed, as a part file; not there while nothing was better than the untuned model.</summary>
    public string Best => Path.Combine(folder, "tuned.safetensors");

    /// <summary>Where hidden states go that do not fit into memory.</summary>
    public string Spill => Path.Combine(folder, "tuning.spill");

    private string State => Path.Combine(folder, "tuning.safetensors");

    internal void SaveBest(IEnumerable<TensorPayload> tensors) => PartFile.Write(Best, [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)]);

    internal void Save(IEnumerable<Parameter> parameters, TuningState state)
    {
        var tensors = parameters.SelectMany(p => p.State).Select((t, i) => TensorPayload.FromPointer($"{i:D8}", TensorDtype.F32, t.shape, (byte*)TensorMemory.Floats(t), t.numel() * sizeof(float)));
        PartFile.Write(State, [.. tensors], new Dictionary<string, string> { [StateKey] = JsonSerializer.Serialize(state) });
    }

    /// <summary>Takes up an earlier tuning, if there is one.</summary>
    internal bool TryLoad(IEnumerable<Parameter> parameters, out TuningState? state)
    {
        state = null;
        if (!File.Exists(State))
            return false;
        using var file = SafetensorsFile.Open(State);
        using var guard = no_grad();
        foreach (var (tensor, i) in parameters.SelectMany(p => p.State).Select((t, i) => (t, i)))
        {
            var entry = file.Tensors[$"{i:D8}"];
            new ReadOnlySpan<byte>(file.Pointer(entry), checked((int)entry.ByteLength)).CopyTo(new Span<byte>(TensorMemory.Floats(tensor), checked((int)entry.ByteLength)));
        }
        state = JsonSerializer.Deserialize<TuningState>(file.Metadata[StateKey]);
        return state is not null;
    }
}
