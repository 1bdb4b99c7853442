namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>
/// Families without reference outputs: a config as they publish it, with small numbers, and every tensor that such a checkpoint
/// has. Hidden 64, vocabulary 50, two layers; 4 heads of 16, 2 of them key-value heads.
/// </summary>
internal static partial class PublishedFamilies
{
    private const string Ends = """
        model.embed_tokens.weight 50 64
        model.norm.weight 64
        """;

    private const string Head = "\nlm_head.weight 50 64\n";

    private const string Norms = "\nmodel.layers.{0-1}.{input_layernorm,post_attention_layernorm}.weight 64\n";

    private const string Attention = """

        model.layers.{0-1}.self_attn.{q_proj,o_proj}.weight 64 64
        model.layers.{0-1}.self_attn.{k_proj,v_proj}.weight 32 64

        """;

    private const string Mlp = """

        model.layers.{0-1}.mlp.{gate_proj,up_proj}.weight 96 64
        model.layers.{0-1}.mlp.down_proj.weight 64 96

        """;

    private const string Llama = Ends + Norms + Attention + Mlp;

    private const string QkNorm = "\nmodel.layers.{0-1}.self_attn.{q_norm,k_norm}.weight 16\n";

    private const string Sizes = """
        "hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":96,"vocab_size":50,"max_position_embeddings":64
        """;

    private static string Experts(string prefix, string layers = "{0-1}") => $$"""

        model.layers.{{layers}}.{{prefix}}.experts.{0-3}.{gate_proj,up_proj}.weight 32 64
        model.layers.{{layers}}.{{prefix}}.experts.{0-3}.down_proj.weight 64 32

        """;

    private static string Shared(string module, int width, string layers = "{0-1}") => $$"""

        model.layers.{{layers}}.{{module}}.{gate_proj,up_proj}.weight {{width}} 64
        model.layers.{{layers}}.{{module}}.down_proj.weight 64 {{width}}

        """;

    /// <summary>Config and tensors by case; the part before a dash is the model type.</summary>
    public static readonly IReadOnlyDictionary<string, (string Config, string Tensors)> All =
        Dense.Concat(Mixtures).Concat(Remote).Concat(Recurrent).ToDictionary(f => f.Key, f => f.Value);
}
