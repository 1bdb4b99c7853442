namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>Takes white space off the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : TextNormalizer
{
    public override string Normalize(string original)
    {
        string stripped = left ? original.TrimStart() : original;
        return right ? stripped.TrimEnd() : stripped;
    }

    public override bool KeepsStart(string original) => !left || original.Length == 0 || !char.IsWhiteSpace(original[0]);
}
