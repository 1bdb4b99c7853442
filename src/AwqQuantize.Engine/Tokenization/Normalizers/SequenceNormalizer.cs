namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>One normalizer after the other.</summary>
internal sealed class SequenceNormalizer(IReadOnlyList<TextNormalizer> steps) : TextNormalizer
{
    public IReadOnlyList<TextNormalizer> Steps { get; } = steps;

    public override string Normalize(string original)
    {
        foreach (TextNormalizer step in Steps)
        {
            original = step.Normalize(original);
        }

        return original;
    }

    public override bool KeepsStart(string original)
    {
        foreach (TextNormalizer step in Steps)
        {
            if (!step.KeepsStart(original))
            {
                return false;
            }

            original = step.Normalize(original);
        }

        return true;
    }
}
