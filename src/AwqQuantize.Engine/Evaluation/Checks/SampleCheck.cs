namespace AwqQuantize.Engine.Evaluation;

/// <summary>What the quantised model says after a prompt.</summary>
internal sealed class SampleCheck : OutputCheck
{
    // Below this share of different tokens a text goes round in circles.
    private const double FewDifferent = 0.15;

    private int tokens;

    public override string Name => "Sample";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        if (folder.Options.Prompt is not { Length: > 0 } prompt)
            return [NotRun("No prompt was given (-Prompt).")];
        if (folder.Model is not { Graph.LinearsOnly: false } model)
            return [NotRun("The architecture is not clear.")];
        var tokenizer = GreedyDecoder.TokenizerOf(folder.Path, folder.Source?.Folder.Path);
        var ids = GreedyDecoder.Continue(model, tokenizer, prompt, folder.Options.SampleTokens, folder.Options.Device, folder.Progress, folder.Cancel);
        tokens = ids.Length;
        folder.SampleText = tokenizer.Decode(ids, skipSpecialTokens: true);
        if (ids.Length == 0)
            return [Warning("Prompt", "The model ends at once.")];
        return ids.Length >= 16 && ids.Distinct().Count() < FewDifferent * ids.Length
            ? [Warning("Prompt", $"The model repeats itself: {ids.Distinct().Count()} different tokens among {ids.Length}.")] : [];
    }

    protected override string Praise(OutputFolder folder) => $"The model goes on for {tokens} tokens: see SampleText.";
}
