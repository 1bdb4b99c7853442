namespace AwqQuantize.Engine.Tokenization;

/// <summary>The special tokens that are put before and after the ids of one sequence.</summary>
/// <param name="Prefix">Token ids before the text.</param>
/// <param name="Suffix">Token ids after the text.</param>
internal sealed record TokenTemplate(int[] Prefix, int[] Suffix)
{
    public static readonly TokenTemplate None = new([], []);

    /// <summary>What a chain of post-processors adds: each wraps what the one before it made.</summary>
    public TokenTemplate Around(TokenTemplate inner) => new([.. Prefix, .. inner.Prefix], [.. inner.Suffix, .. Suffix]);
}
