using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>generation_config.json is there when the source has one, says the same, and does not contradict itself.</summary>
internal sealed class GenerationConfigCheck : OutputCheck
{
    public override string Name => "GenerationConfig";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        var source = folder.Source is null ? null : Path.Combine(folder.Source.Folder.Path, CarriedFiles.GenerationConfig);
        if (!File.Exists(folder.File(CarriedFiles.GenerationConfig)))
        {
            if (File.Exists(source))
                yield return Warning(CarriedFiles.GenerationConfig, "The source has this file, and it is missing here.");
            yield break;
        }
        JsonObject? own = null;
        AwqCheck? broken = null;
        try
        {
            own = PythonJson.ReadObject(folder.File(CarriedFiles.GenerationConfig));
        }
        catch (AwqException e)
        {
            broken = Failed(CarriedFiles.GenerationConfig, e.Message);
        }
        if (own is null)
        {
            yield return broken!;
            yield break;
        }
        if (!JsonNode.DeepEquals(own, CarriedFiles.MakeConsistent((JsonObject)own.DeepClone())))
            yield return Failed(CarriedFiles.GenerationConfig, "It sets how to sample and does not sample (do_sample): transformers refuses to save that.");
        if (!File.Exists(source))
            yield break;
        var expected = CarriedFiles.MakeConsistent(PythonJson.ReadObject(source));
        foreach (var (key, value) in expected.Where(p => p.Key is not ("transformers_version" or "do_sample") && !JsonNode.DeepEquals(p.Value, own[p.Key])))
        {
            var message = $"The source has {value?.ToJsonString() ?? "null"}, and here it is {own[key]?.ToJsonString() ?? "null"}.";
            // A wrong end of text makes a model that never stops.
            yield return key.EndsWith("_token_id", StringComparison.Ordinal) ? Failed(key, message) : Warning(key, message);
        }
    }

    protected override string Praise(OutputFolder folder) =>
        File.Exists(folder.File(CarriedFiles.GenerationConfig)) ? "The generation settings do not contradict themselves." : "There are no generation settings.";
}
