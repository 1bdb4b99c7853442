namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>Puts a string after the text.</summary>
internal sealed class AppendNormalizer(string suffix) : TextNormalizer
{
    public override string Normalize(string original) => original + suffix;
}
