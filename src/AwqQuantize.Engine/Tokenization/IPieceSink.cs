namespace AwqQuantize.Engine.Tokenization;

/// <summary>Takes pieces one after the other: the next pre-tokenizer step, or the model at the end.</summary>
internal interface IPieceSink
{
    void Add(in Piece piece);
}
