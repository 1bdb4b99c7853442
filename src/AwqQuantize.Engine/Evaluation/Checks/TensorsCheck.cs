using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>Types and shapes of the AWQ tensors, and the types of all others.</summary>
internal sealed class TensorsCheck : OutputCheck
{
    public override string Name => "Tensors";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Packed is not null)
        {
            foreach (var finding in FindPacked(folder))
                yield return finding;
            yield break;
        }
        if (folder.Quantization is null)
        {
            yield return NotRun("config.json does not say how the tensors are quantised.");
            yield break;
        }
        var awq = new HashSet<string>(StringComparer.Ordinal);
        foreach (var module in folder.AwqModules)
        {
            foreach (var part in AwqModule.Parts)
                awq.Add(module + part);
            foreach (var problem in AwqModule.Problems(module, folder.Tensors, folder.Quantization))
                yield return Failed(module, problem + ".");
            if (folder.Tensors.TryGetValue(module + AwqModule.Scales, out var scales) && scales.Dtype is not TensorDtype.F16 && scales.Dtype.IsReadableAsFloat())
                yield return Failed(scales.Name, $"The scales are {scales.Dtype} instead of F16; the kernels refuse that.");
            if (folder.Tensors.ContainsKey(module + ".weight"))
                yield return Failed(module + ".weight", "The module is quantised, and its float weight is there too.");
            if (folder.Tensors.ContainsKey(module + ".g_idx"))
                yield return Failed(module + ".g_idx", "This belongs to the GPTQ format; AWQ readers do not know it.");
        }
        var other = folder.Tensors.Values.Where(t => !awq.Contains(t.Name)).ToList();
        foreach (var tensor in other.Where(t => !t.Dtype.IsReadableAsFloat()))
            yield return Failed(tensor.Name, $"The tensor is of type {tensor.Dtype}, and not a float one.");
        var kept = folder.Model?.Graph.KeepFloat32;
        var odd = other.Where(t => t.Dtype != TensorDtype.F16 && t.Dtype.IsReadableAsFloat() && kept?.Contains(t.Name) != true).ToList();
        if (odd.Count > 0)
            yield return Warning(odd[0].Name, $"{odd.Count} float tensors are {string.Join(" and ", odd.Select(t => t.Dtype).Distinct())} instead of F16.");
    }

    private IEnumerable<AwqCheck> FindPacked(OutputFolder folder)
    {
        var packed = new HashSet<string>(StringComparer.Ordinal);
        foreach (var module in folder.StoredModules)
        {
            foreach (var part in PackedModule.Parts)
                packed.Add(module + part);
            foreach (var problem in folder.Problems(module))
                yield return Failed(module, problem + ".");
            if (folder.Tensors.ContainsKey(module + ".weight"))
                yield return Failed(module + ".weight", "The module is quantised, and its float weight is there too.");
        }
        foreach (var tensor in folder.Tensors.Values.Where(t => !packed.Contains(t.Name) && !t.Dtype.IsReadableAsFloat()))
            yield return Failed(tensor.Name, $"The tensor is of type {tensor.Dtype}, and not a float one.");
    }

    protected override string Praise(OutputFolder folder) => $"Codes, zero points and scales of {folder.StoredModules.Count()} modules fit each other.";
}
