using System.Text.Json;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Layers;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Runs;

/// <summary>Tunes the checkpoint that the walk over the layers has made. Its outcome lies in the run folder once it is finished.</summary>
internal static class TuningStage
{
    /// <summary>Tunes an assembled checkpoint.</summary>
    /// <param name="assembly">The checkpoint; read only.</param>
    /// <param name="run">Keeps what an interrupted tuning goes on from.</param>
    /// <param name="device">Where to compute.</param>
    /// <returns>What came of it, and the part file with the tensors that it changed; null where nothing was better than what there was.</returns>
    public static (TuningOutcome Outcome, string? Replacements) Run(ModelFolder folder, ModelGraph graph, ArchitectureCatalog catalog, string assembly, RunFolder run, TokenRows rows,
        TuningSettings settings, Action<string, string> warn, Action<string, double> progress, CancellationToken cancel, Action<string>? probe, ComputeDevice device)
    {
        var files = new TuningFiles(run.Path, [.. graph.Layers.Select(l => run.Residuals(l.Index)).Where(File.Exists)]);
        if (!File.Exists(run.Tuning))
        {
            using var student = ModelSource.Open(assembly, catalog);
            var finished = EndToEndTuning.Run(graph, new FolderTensorSource(folder), student, rows, settings, files, warn, progress, cancel, probe, device);
            AtomicFile.WriteText(run.Tuning, JsonSerializer.Serialize(finished));
        }
        var outcome = JsonSerializer.Deserialize<TuningOutcome>(File.ReadAllBytes(run.Tuning))!;
        return (outcome, outcome.BestStep > 0 ? files.Best : null);
    }
}
