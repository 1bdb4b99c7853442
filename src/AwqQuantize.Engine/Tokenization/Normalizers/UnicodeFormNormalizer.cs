using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>NFC, NFD, NFKC or NFKD.</summary>
internal sealed class UnicodeFormNormalizer(bool compatibility, bool compose) : TextNormalizer
{
    public override string Normalize(string original) => UnicodeNormalizer.Normalize(original, compatibility, compose);
}
