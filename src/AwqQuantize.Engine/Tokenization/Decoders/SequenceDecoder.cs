namespace AwqQuantize.Engine.Tokenization.Decoders;

/// <summary>One decoder after the other.</summary>
internal sealed class SequenceDecoder(IReadOnlyList<TokenDecoder> steps) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens) =>
        steps.Aggregate(tokens, (current, step) => step.Decode(current));
}
