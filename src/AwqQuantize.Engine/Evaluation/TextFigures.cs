namespace AwqQuantize.Engine.Evaluation;

/// <summary>Sums over predicted tokens.</summary>
internal sealed class PredictionSums
{
    public long Count { get; set; }

    public double Loss { get; set; }

    public double ReferenceLoss { get; set; }

    public double Divergence { get; set; }

    public long Hits { get; set; }

    public void Add(PredictionSums other)
    {
        Count += other.Count;
        Loss += other.Loss;
        ReferenceLoss += other.ReferenceLoss;
        Divergence += other.Divergence;
        Hits += other.Hits;
    }
}

/// <summary>The figures of one text, window by window.</summary>
internal sealed class TextFigures(string source, bool compared)
{
    private readonly WindowStatistics loss = new(), referenceLoss = new(), divergence = new(), agreement = new();

    public void Add(PredictionSums window)
    {
        loss.Add(window.Loss, window.Count);
        referenceLoss.Add(window.ReferenceLoss, window.Count);
        divergence.Add(window.Divergence, window.Count);
        agreement.Add(window.Hits, window.Count);
    }

    /// <summary>All texts together.</summary>
    public static TextFigures Sum(IReadOnlyList<TextFigures> texts)
    {
        var all = new TextFigures("all", texts[0].IsCompared);
        foreach (var text in texts)
        {
            all.loss.Add(text.loss);
            all.referenceLoss.Add(text.referenceLoss);
            all.divergence.Add(text.divergence);
            all.agreement.Add(text.agreement);
        }
        return all;
    }

    private bool IsCompared => compared;

    public TextMeasurement Result()
    {
        var perplexity = Math.Exp(loss.Mean);
        return new TextMeasurement
        {
            Source = source, Windows = loss.Windows, Predictions = loss.Count, Perplexity = perplexity, PerplexityError = perplexity * loss.Error,
            ReferencePerplexity = compared ? Math.Exp(referenceLoss.Mean) : null,
            KlDivergence = compared ? divergence.Mean : null, KlDivergenceError = compared ? divergence.Error : null,
            TopAgreement = compared ? agreement.Mean : null, TopAgreementError = compared ? agreement.Error : null,
        };
    }
}
