using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>Every weight against the source's, layer by layer, with the folds undone.</summary>
internal sealed class RoundTripCheck : OutputCheck
{
    // Four bits cost normal weights 7 to 12 percent, rounding with error compensation up to twice that.
    private const double HealthyError = 0.3, LargestError = 0.6, LargestLineError = 0.9;

    // Rows and columns whose weights are this small beside the others' are noise themselves.
    private const double FaintLine = 0.02;

    // Healthy folds spread by 2 to 4 after normalisation.
    private const double AlarmingSpread = 64;

    // float16 keeps 11 bits; a norm may have been tuned as well.
    private const double HalfError = 1e-3, FoldedHalfError = 4e-3, NormError = 0.1;

    public override string Name => "RoundTrip";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Source is not { } source)
            return [NotRun("There is no source to compare with (-SourcePath).")];
        if (folder.Model is not { } model)
            return [NotRun("The architecture is not clear.")];
        if (source.IsQuantized)
            return [Failed(source.Folder.Path, "The source is quantised itself.")];
        if (source.Graph.LayerCount != model.Graph.LayerCount || source.Graph.HiddenSize != model.Graph.HiddenSize)
            return [Failed(source.Folder.Path, "The source has other layers than the checkpoint.")];
        TorchRuntime.EnsureLoaded();
        var findings = new List<AwqCheck>();
        using var guard = no_grad();
        foreach (var tensor in model.Graph.OuterTensors.Where(t => source.Tensors.Contains(t.Name) && !model.QuantizedModules.Contains(ModuleOf(t.Name))))
        {
            using var scope = NewDisposeScope();
            Compare(tensor.Name, source.Tensors.Read(tensor.Name, CPU), model.Tensors.Read(tensor.Name, CPU),
                source.Tensors.Shape(tensor.Name).Length == 1 ? NormError : HalfError, findings);
        }
        for (var i = 0; i < model.Graph.LayerCount; i++)
        {
            folder.Cancel.ThrowIfCancellationRequested();
            folder.Progress?.Invoke($"layer {i + 1} of {model.Graph.LayerCount} against the source", (double)i / model.Graph.LayerCount);
            using var scope = NewDisposeScope();
            using var before = LayerWeights.Load(source.Graph.Layers[i], source.Tensors, CPU);
            using var after = LayerWeights.Load(model.Graph.Layers[i], model.Tensors, CPU);
            CompareLayer(model, model.Graph.Layers[i], before, after, folder.ModuleErrors, findings);
        }
        return findings;
    }

    private void CompareLayer(ModelSource model, LayerGraph layer, LayerWeights before, LayerWeights after, List<ModuleError> errors, List<AwqCheck> findings)
    {
        var folded = FoldedScales.Recover(layer, before, after, m => !model.QuantizedModules.Contains(layer.Prefix + m));
        foreach (var (group, spread, wrong) in folded.Groups)
        {
            if (wrong > 0)
                findings.Add(Failed(layer.Prefix + group, $"{wrong} of its channels have folded scales that are zero, negative or not finite."));
            else if (spread > AlarmingSpread)
                findings.Add(Warning(layer.Prefix + group, $"The folded scales spread by a factor of {spread:F0}."));
        }
        var linears = layer.Linears.ToDictionary(l => l.Module);
        foreach (var name in before.Names)
        {
            using var scope = NewDisposeScope();
            var module = ModuleOf(name);
            if (name.EndsWith(".weight", StringComparison.Ordinal) && linears.ContainsKey(module))
            {
                var undone = folded.Undo(module, after[name]);
                if (model.QuantizedModules.Contains(layer.Prefix + module))
                    Judge(Measure(layer.Prefix + module, before[name], undone), errors, findings);
                else
                    Compare(layer.Prefix + name, before[name], undone, FoldedHalfError, findings);
            }
            else if (name.EndsWith(".bias", StringComparison.Ordinal))
                Compare(layer.Prefix + name, before[name], folded.UndoBias(module, after[name]), linears.ContainsKey(module) ? 0.05 : NormError, findings);
            else if (!folded.ScaledNorms.Contains(module))
                Compare(layer.Prefix + name, before[name], after[name], NormError, findings);
        }
    }

    private static ModuleError Measure(string module, Tensor before, Tensor after)
    {
        using var scope = NewDisposeScope();
        var error = after.sub(before).pow_(2);
        var size = before.square();
        return new ModuleError(module, Math.Sqrt(Sum(error) / Math.Max(Sum(size), 1e-30)), Line(1), Line(0));

        double Line(int dimension)
        {
            var (e, s) = (error.sum([(long)dimension]), size.sum([(long)dimension]));
            var loud = s.gt(s.mean().mul(FaintLine * FaintLine));
            return Math.Sqrt(where(loud, e.div(s.clamp_min(1e-30)), zeros_like(e)).max().item<float>());
        }
    }

    private void Judge(ModuleError error, List<ModuleError> errors, List<AwqCheck> findings)
    {
        errors.Add(error);
        if (!(error.RelativeError <= LargestError))
            findings.Add(Failed(error.Module, $"It differs from the source by {error.RelativeError:P1}."));
        else if (!(error.LargestRowError <= LargestLineError))
            findings.Add(Failed(error.Module, $"One of its output channels differs from the source by {error.LargestRowError:P1}."));
        else if (!(error.LargestColumnError <= LargestLineError))
            findings.Add(Failed(error.Module, $"One of its input channels differs from the source by {error.LargestColumnError:P1}, or the norm before it does."));
        else if (error.RelativeError > HealthyError)
            findings.Add(Warning(error.Module, $"It differs from the source by {error.RelativeError:P1}, more than four bits should cost."));
    }

    private void Compare(string name, Tensor before, Tensor after, double limit, List<AwqCheck> findings)
    {
        using var scope = NewDisposeScope();
        var error = Math.Sqrt(Sum(after.sub(before).pow_(2)));
        var size = Math.Sqrt(Sum(before.square()));
        // Zeros may have become the smallest numbers of float16, and the other way round.
        if (!(error <= limit * size + 1e-6 * Math.Sqrt(before.numel())))
            findings.Add(Failed(name, size > 0 ? $"It stayed float and differs from the source by {error / size:P2}." : "It is zero in the source and not here."));
    }

    private static double Sum(Tensor values) => values.sum(ScalarType.Float64).item<double>();

    private static string ModuleOf(string name) => name[..Math.Max(0, name.LastIndexOf('.'))];

    protected override string Praise(OutputFolder folder)
    {
        var worst = folder.ModuleErrors.MaxBy(m => m.RelativeError)!;
        return $"With folds undone, modules differ from the source by {folder.ModuleErrors.Average(m => m.RelativeError):P1} on average and {worst.RelativeError:P1} at most ({worst.Module}); what stayed float is the source's.";
    }
}
