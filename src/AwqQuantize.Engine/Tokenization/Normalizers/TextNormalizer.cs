using Microsoft.ML.Tokenizers;

namespace AwqQuantize.Engine.Tokenization.Normalizers;

/// <summary>A step that changes text before it is split; immutable.</summary>
internal abstract class TextNormalizer : Normalizer
{
    public abstract override string Normalize(string original);

    public override string Normalize(ReadOnlySpan<char> original) => Normalize(original.ToString());

    /// <summary>
    /// Whether the first character of the result still stands for the first of <paramref name="original"/>; the
    /// Metaspace pre-tokenizer's <c>prepend_scheme: first</c> asks for that.
    /// </summary>
    public virtual bool KeepsStart(string original) => true;
}
