namespace AwqQuantize.Engine.Architectures;

/// <summary>How token ids become the first hidden states.</summary>
/// <param name="Tokens">Full name of the embedding's weight, [vocabulary, width].</param>
/// <param name="Width">Columns of the embedding; differs from the hidden size only with <paramref name="ProjectIn"/>.</param>
/// <param name="Multiplier">Factor of the embedding.</param>
/// <param name="Norm">Norm of the embedding (full module name), or null.</param>
/// <param name="Positions">Full name of the learned positions' weight, or null.</param>
/// <param name="PositionRows">Rows of the learned positions.</param>
/// <param name="PositionOffset">Row of position 0.</param>
/// <param name="Sinusoidal">Positions are sinusoidal [sin | cos] and not stored.</param>
/// <param name="ProjectIn">Full module name of a linear without bias from the embedding's width to the hidden size, or null.</param>
public sealed record EmbeddingSpec(
    string Tokens, int Width, double Multiplier, NormSpec? Norm, string? Positions, int PositionRows, int PositionOffset, bool Sinusoidal, string? ProjectIn);

/// <summary>How the last hidden states become logits.</summary>
/// <param name="FinalNorm">Norm before the head (full module name), or null.</param>
/// <param name="Weight">Full name of the head's weight; the embedding's where they are tied.</param>
/// <param name="Bias">Full name of the head's bias, or null.</param>
/// <param name="Multiplier">Factor of the logits.</param>
/// <param name="SoftCap">logits ← cap · tanh(logits / cap); 0 for none.</param>
/// <param name="ProjectOut">Full module name of a linear without bias from the hidden size to the embedding's width, or null.</param>
/// <param name="NormalizedWeight">The rows of the weight are divided by their length first (baichuan2's head).</param>
public sealed record HeadSpec(
    NormSpec? FinalNorm, string Weight, string? Bias, double Multiplier, double SoftCap, string? ProjectOut, bool NormalizedWeight);

/// <summary>A model: its family's description with the values of its config, validated against the tensors of its checkpoint.</summary>
public sealed record ModelGraph
{
    public required string ModelType { get; init; }

    /// <summary>Name of the description that was used.</summary>
    public required string Family { get; init; }

    /// <summary>The model type is unknown; the description was found by tensor names, shapes and config.</summary>
    public bool MatchedByShape { get; init; }

    /// <summary>No description fits: only the linears are known, by their shapes, and the model cannot be run.</summary>
    public bool LinearsOnly { get; init; }

    public int LayerCount => Layers.Count;

    public required int HiddenSize { get; init; }

    public required int VocabularySize { get; init; }

    public required int MaxPositions { get; init; }

    /// <summary>The head's weight is the embedding's and is not stored.</summary>
    public required bool TiedHead { get; init; }

    public required EmbeddingSpec Embedding { get; init; }

    public required HeadSpec Head { get; init; }

    public required IReadOnlyList<LayerGraph> Layers { get; init; }

    /// <summary>Tensors outside of the layers, all of them kept as float.</summary>
    public required IReadOnlyList<StoredTensor> OuterTensors { get; init; }

    /// <summary>Full names of the tensors that stay float32 on disk.</summary>
    public required IReadOnlySet<string> KeepFloat32 { get; init; }

    /// <summary>Tensors of the checkpoint that mean nothing and are not carried over.</summary>
    public required IReadOnlyList<string> IgnoredTensors { get; init; }

    /// <summary>Config keys that nothing has read: worth a word where the family was matched by shape.</summary>
    public required IReadOnlyList<string> UnreadConfigKeys { get; init; }
}
