namespace AwqQuantize.Engine.Architectures;

/// <summary>A tensor of the checkpoint as it lies on disk.</summary>
/// <param name="Name">Full name.</param>
/// <param name="Shape">Shape on disk.</param>
/// <param name="KeepFloat32">Stays float32 in a quantised checkpoint.</param>
public sealed record StoredTensor(string Name, long[] Shape, bool KeepFloat32 = false)
{
    /// <summary>A name is one tensor: the parts of a stacked tensor find each other by it.</summary>
    public bool Equals(StoredTensor? other) => other is not null && Name == other.Name;

    public override int GetHashCode() => Name.GetHashCode();
}

/// <summary>
/// A parameter of a layer in the form that the engine computes with, and where it comes from. Linears are [out, in], one expert's
/// linear is one parameter, whatever the checkpoint looks like.
/// </summary>
/// <param name="Name">Name relative to the layer, e.g. <c>self_attn.q_proj.weight</c>.</param>
/// <param name="Shape">Shape here.</param>
/// <param name="Stored">The stored tensor that holds it.</param>
/// <param name="Transposed">The (expert's slice of the) stored tensor is [in, out].</param>
/// <param name="Expert">Slice of a stored tensor of stacked experts, or -1.</param>
/// <param name="Experts">How many experts are stacked in it; 1 where none are.</param>
/// <param name="RowStart">First of the slice's rows (after transposition) that belong to this parameter.</param>
/// <param name="RowStep">Step from one such row to the next: 2 where two parameters are interleaved.</param>
public sealed record ParameterSpec(
    string Name, long[] Shape, StoredTensor Stored, bool Transposed = false, int Expert = -1, int Experts = 1, int RowStart = 0, int RowStep = 1)
{
    /// <summary>A norm's weight that multiplies as 1 + weight.</summary>
    public bool OnePlus { get; init; }
}
