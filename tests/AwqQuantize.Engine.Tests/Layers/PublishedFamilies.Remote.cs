namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Families whose publishers bring Python of their own.</summary>
internal static partial class PublishedFamilies
{
    private static Dictionary<string, (string Config, string Tensors)> Remote => new()
    {
        ["minicpm3"] = ($$"""{"model_type":"minicpm3",{{Sizes}},"q_lora_rank":32,"kv_lora_rank":16,"qk_nope_head_dim":16,"qk_rope_head_dim":8,"scale_emb":12,"scale_depth":1.4,"dim_model_base":32,"rope_scaling":{"type":"longrope","short_factor":[1,1,1,1],"long_factor":[1,2,3,4],"original_max_position_embeddings":16} }""",
            Ends + Norms + Mlp + """

            model.layers.{0-1}.self_attn.q_a_proj.weight 32 64
            model.layers.{0-1}.self_attn.q_a_layernorm.weight 32
            model.layers.{0-1}.self_attn.q_b_proj.weight 96 32
            model.layers.{0-1}.self_attn.kv_a_proj_with_mqa.weight 24 64
            model.layers.{0-1}.self_attn.kv_a_layernorm.weight 16
            model.layers.{0-1}.self_attn.kv_b_proj.weight 128 16
            model.layers.{0-1}.self_attn.o_proj.weight 64 64
            """),
        ["minicpm"] = ($$"""{"model_type":"minicpm",{{Sizes}},"scale_emb":12,"scale_depth":1.4,"dim_model_base":32}""", Llama),
        ["baichuan"] = ($$"""{"model_type":"baichuan",{{Sizes}},"hidden_act":"silu"}""".Replace("\"num_key_value_heads\":2,", ""),
            Ends + Head + Norms + Mlp + """

            model.layers.{0-1}.self_attn.W_pack.weight 192 64
            model.layers.{0-1}.self_attn.o_proj.weight 64 64
            """),
        ["baichuan-13b"] = ($$"""{"model_type":"baichuan",{{Sizes}},"model_max_length":64}""".Replace("\"num_key_value_heads\":2,", "").Replace(",\"max_position_embeddings\":64", ""),
            Ends + Head + Norms + Mlp + """

            model.layers.{0-1}.self_attn.W_pack.weight 192 64
            model.layers.{0-1}.self_attn.o_proj.weight 64 64
            """),
        ["internlm2"] = ($$"""{"model_type":"internlm2",{{Sizes}},"bias":false,"rope_scaling":{"type":"dynamic","factor":2.0},"rope_theta":1000000}""",
            """
            model.tok_embeddings.weight 50 64
            output.weight 50 64
            model.norm.weight 64
            model.layers.{0-1}.{attention_norm,ffn_norm}.weight 64
            model.layers.{0-1}.attention.wqkv.weight 128 64
            model.layers.{0-1}.attention.wo.weight 64 64
            model.layers.{0-1}.feed_forward.{w1,w3}.weight 96 64
            model.layers.{0-1}.feed_forward.w2.weight 64 96
            """),
        ["internlm3"] = ($$"""{"model_type":"internlm3",{{Sizes}},"head_dim":16,"bias":false,"qkv_bias":true}""",
            Llama + Head + """

            model.layers.{0-1}.self_attn.q_proj.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
            """),
        ["exaone"] = ($$"""{"model_type":"exaone",{{Sizes}},"num_layers":2,"activation_function":"silu","layer_norm_epsilon":1e-5,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":16} }""".Replace("\"num_hidden_layers\":2,", ""),
            Head + """

            transformer.wte.weight 50 64
            transformer.ln_f.weight 64
            transformer.h.{0-1}.{ln_1,ln_2}.weight 64
            transformer.h.{0-1}.attn.attention.{q_proj,out_proj}.weight 64 64
            transformer.h.{0-1}.attn.attention.{k_proj,v_proj}.weight 32 64
            transformer.h.{0-1}.mlp.{c_fc_0,c_fc_1}.weight 96 64
            transformer.h.{0-1}.mlp.c_proj.weight 64 96
            """),
        ["Yi"] = ($$"""{"model_type":"Yi",{{Sizes}}}""", Ends + Head + Attention + Mlp + "model.layers.{0-1}.{ln1,ln2}.weight 64"),
        ["aquila"] = ($$"""{"model_type":"aquila",{{Sizes}}}""", Llama + Head),
        ["xverse"] = ($$"""{"model_type":"xverse",{{Sizes}}}""", Llama + Head),
        ["orion"] = ($$"""{"model_type":"orion",{{Sizes}},"rms_norm_eps":1e-5}""",
            Llama + Head + """

            model.norm.bias 64
            model.layers.{0-1}.{input_layernorm,post_attention_layernorm}.bias 64
            """),
        ["telechat"] = ("""{"model_type":"telechat","hidden_size":64,"n_layer":2,"n_head":4,"num_key_value_heads":2,"ffn_hidden_size":96,"vocab_size":50,"seq_length":64,"layer_norm_epsilon":1e-5}""",
            Head + """

            transformer.word_embeddings.weight 50 64
            transformer.ln_f.weight 64
            transformer.h.{0-1}.{input_layernorm,post_attention_layernorm}.weight 64
            transformer.h.{0-1}.self_attention.query.weight 64 64
            transformer.h.{0-1}.self_attention.key_value.weight 64 64
            transformer.h.{0-1}.self_attention.dense.weight 64 64
            transformer.h.{0-1}.self_attention.dense.bias 64
            transformer.h.{0-1}.mlp.{gate_proj,up_proj}.weight 96 64
            transformer.h.{0-1}.mlp.down_proj.weight 64 96
            transformer.h.{0-1}.mlp.down_proj.bias 64
            """),
    };
}
