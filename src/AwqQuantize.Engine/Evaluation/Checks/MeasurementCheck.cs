namespace AwqQuantize.Engine.Evaluation;

/// <summary>Perplexity of the checkpoint, and its distance to the source, on some text.</summary>
internal sealed class MeasurementCheck : OutputCheck
{
    // Without limits of the user's: beyond these a checkpoint is not what anybody wanted.
    private const double OddRatio = 1.5, AbsurdRatio = 4;

    public override string Name => "Perplexity";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        var options = folder.Options;
        if (options.Texts.Count == 0)
            return [NotRun("No text was given to measure on.")];
        if (folder.Model is not { Graph.LinearsOnly: false } model)
            return [NotRun("The architecture is not clear.")];
        // Some families (Gemma) know no text that does not begin with this token; their tokenizers put it there.
        var tokenizer = GreedyDecoder.TokenizerOf(folder.Path, folder.Source?.Folder.Path);
        var addsBos = tokenizer.BosId is { } bos && tokenizer.Encode("a", addSpecialTokens: true)[0] == bos;
        var measurement = ModelMeasurement.Run(model, folder.Source, new MeasurementOptions
        {
            Texts = options.Texts, Context = options.Context, MaximumTokens = options.MaximumTokens, AddBos = addsBos, Device = options.Device,
        }, folder.Progress, folder.Cancel);
        folder.Measurement = measurement;
        return Judge(measurement.Overall, model.Graph.VocabularySize, options);
    }

    private IEnumerable<AwqCheck> Judge(TextMeasurement figures, int vocabulary, OutputTestOptions options)
    {
        if (!double.IsFinite(figures.Perplexity))
        {
            yield return Failed("Perplexity", "The perplexity is no number: the model computes infinities.");
            yield break;
        }
        if (figures.ReferencePerplexity is not { } source)
        {
            if (options.MaximumKl is not null || options.MaximumPerplexityRatio is not null)
                yield return Failed("SourcePath", "There is a limit to compare with, and no source.");
            if (figures.Perplexity > vocabulary)
                yield return Failed("Perplexity", $"The perplexity is {figures.Perplexity:G5}; guessing would give {vocabulary}.");
            yield break;
        }
        var ratio = figures.Perplexity / source;
        if (options.MaximumPerplexityRatio is { } limit && ratio > limit)
            yield return Failed("MaximumPerplexityRatio", $"The perplexity is {figures.Perplexity:F4}, {ratio:F3} times the source's {source:F4}; the limit is {limit:F3}.");
        else if (options.MaximumPerplexityRatio is null && ratio > AbsurdRatio)
            yield return Failed("Perplexity", $"The perplexity is {figures.Perplexity:F4}, {ratio:F3} times the source's {source:F4}.");
        else if (options.MaximumPerplexityRatio is null && ratio > OddRatio)
            yield return Warning("Perplexity", $"The perplexity is {figures.Perplexity:F4}, {ratio:F3} times the source's {source:F4}.");
        if (options.MaximumKl is { } most && figures.KlDivergence > most)
            yield return Failed("MaximumKl", $"The KL divergence to the source is {figures.KlDivergence:F4}; the limit is {most:F4}.");
    }

    protected override string Praise(OutputFolder folder)
    {
        var figures = folder.Measurement!.Overall;
        return figures.ReferencePerplexity is not { } source ? $"Perplexity {figures.Perplexity:F4} over {figures.Predictions} tokens."
            : $"Perplexity {figures.Perplexity:F4} beside the source's {source:F4} ({figures.Perplexity / source:F3} times); KL {figures.KlDivergence:F4}, same likeliest token {figures.TopAgreement:P1}, over {figures.Predictions} tokens.";
    }
}
