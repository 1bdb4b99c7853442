namespace AwqQuantize.Engine.Tokenization;

/// <summary>A part of the text on its way through the pre-tokenizer to the model.</summary>
/// <param name="Text">The string that the piece lies in.</param>
/// <param name="Start">First UTF-16 code unit of the piece.</param>
/// <param name="Length">UTF-16 code units.</param>
/// <param name="AtOriginalStart">The piece begins where the user's text begins (<c>prepend_scheme: first</c>).</param>
/// <param name="BytesPending">
/// The piece stands for its UTF-8 bytes in GPT-2's byte alphabet; the mapping is put off until somebody needs it.
/// </param>
internal readonly record struct Piece(string Text, int Start, int Length, bool AtOriginalStart, bool BytesPending)
{
    public Piece(string text, bool atOriginalStart)
        : this(text, 0, text.Length, atOriginalStart, false)
    {
    }

    public ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);

    /// <summary>The part from <paramref name="start"/> (within the piece) on.</summary>
    public Piece Slice(int start, int length) =>
        this with { Start = Start + start, Length = length, AtOriginalStart = AtOriginalStart && start == 0 };
}
