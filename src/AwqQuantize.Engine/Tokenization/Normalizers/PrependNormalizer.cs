namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>Puts a string before a text that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : TextNormalizer
{
    public override string Normalize(string original) => original.Length == 0 ? original : prefix + original;
}
