namespace AwqQuantize.Engine.Architectures;

/// <summary>One linear of a decoder layer, as readers of an AWQ checkpoint name it.</summary>
/// <param name="Module">Name relative to the layer, e.g. <c>self_attn.q_proj</c> or <c>mlp.experts.3.down_proj</c>; the layer's
/// weights hold <c>Module + ".weight"</c> as [Out, In] and, where <paramref name="HasBias"/>, <c>Module + ".bias"</c> as [Out].</param>
/// <param name="In">Input channels.</param>
/// <param name="Out">Output channels.</param>
/// <param name="HasBias">Whether the linear has a bias.</param>
/// <param name="Site">Name of the distinct activation that this linear reads, e.g. <c>attention.input</c>; linears with the same
/// site share one Gram matrix. An expert's own inputs are <c>mlp.experts.3.input</c> and <c>mlp.experts.3.hidden</c>.</param>
/// <param name="Expert">Index of the routed expert that it belongs to, or -1.</param>
/// <param name="KeepFloatReason">Why this linear is never quantised (a router, say), or null.</param>
/// <param name="FusedWith">Name that readers give to the module they fuse this one into (<c>qkv_proj</c>, <c>gate_up_proj</c>), prefixed by
/// its parent so that it is unique in the layer; siblings must be quantised together or not at all. Null where there are none.</param>
public sealed record LinearSpec(
    string Module, int In, int Out, bool HasBias, string Site, int Expert = -1, string? KeepFloatReason = null, string? FusedWith = null);
