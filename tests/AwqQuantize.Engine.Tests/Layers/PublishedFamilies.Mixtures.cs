namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Families with mixtures of experts.</summary>
internal static partial class PublishedFamilies
{
    private static Dictionary<string, (string Config, string Tensors)> Mixtures => new()
    {
        ["phimoe"] = ($$"""{"model_type":"phimoe",{{Sizes}},"attention_bias":true,"lm_head_bias":true,"num_local_experts":4,"num_experts_per_tok":2,"router_jitter_noise":0.3,"rms_norm_eps":1e-5,"sliding_window":40,"original_max_position_embeddings":8,"rope_scaling":{"type":"longrope","short_factor":[1,1,1,1,1,1,1,1],"long_factor":[1,1.5,2,3,4,5,6,8],"short_mscale":1.1,"long_mscale":1.3,"original_max_position_embeddings":8} }""",
            Ends + Head + Norms + Attention + """

            model.norm.bias 64
            lm_head.bias 50
            model.layers.{0-1}.{input_layernorm,post_attention_layernorm}.bias 64
            model.layers.{0-1}.self_attn.{q_proj,o_proj}.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
            model.layers.{0-1}.block_sparse_moe.gate.weight 4 64
            model.layers.{0-1}.block_sparse_moe.experts.{0-3}.{w1,w3}.weight 96 64
            model.layers.{0-1}.block_sparse_moe.experts.{0-3}.w2.weight 64 96
            """),
        ["granitemoe"] = ($$"""{"model_type":"granitemoe",{{Sizes}},"num_local_experts":4,"num_experts_per_tok":2,"embedding_multiplier":12,"logits_scaling":6,"residual_multiplier":0.22,"attention_multiplier":0.0156,"tie_word_embeddings":true,"attention_bias":false}""",
            Ends + Norms + Attention + """

            model.layers.{0-1}.block_sparse_moe.router.layer.weight 4 64
            model.layers.{0-1}.block_sparse_moe.input_linear.weight 4 192 64
            model.layers.{0-1}.block_sparse_moe.output_linear.weight 4 64 96
            """),
        ["granitemoeshared"] = ($$"""{"model_type":"granitemoeshared",{{Sizes}},"num_local_experts":4,"num_experts_per_tok":2,"shared_intermediate_size":32,"embedding_multiplier":12,"logits_scaling":6,"residual_multiplier":0.22,"attention_multiplier":0.0156,"tie_word_embeddings":true}""",
            Ends + Norms + Attention + """

            model.layers.{0-1}.block_sparse_moe.router.layer.weight 4 64
            model.layers.{0-1}.block_sparse_moe.input_linear.weight 4 192 64
            model.layers.{0-1}.block_sparse_moe.output_linear.weight 4 64 96
            model.layers.{0-1}.shared_mlp.input_linear.weight 64 64
            model.layers.{0-1}.shared_mlp.output_linear.weight 64 32
            """),
        ["ernie4_5_moe"] = ($$"""{"model_type":"ernie4_5_moe",{{Sizes}},"moe_num_experts":4,"moe_k":2,"moe_intermediate_size":32,"moe_num_shared_experts":2,"moe_layer_start_index":1,"moe_layer_end_index":1,"moe_layer_interval":1,"use_bias":false}""",
            Ends + Norms + Attention + Shared("mlp", 96, "0") + Experts("mlp", "1") + Shared("mlp.shared_experts", 64, "1") + """

            model.layers.1.mlp.gate.weight 4 64
            model.layers.1.mlp.moe_statics.e_score_correction_bias 1 4
            """),
        ["hunyuan_v1_moe"] = ($$"""{"model_type":"hunyuan_v1_moe",{{Sizes}},"intermediate_size":32,"num_experts":4,"moe_topk":[2,2],"tie_word_embeddings":true}""".Replace("\"intermediate_size\":96,", ""),
            Ends + Norms + Attention + Experts("mlp") + Shared("mlp.shared_mlp", 32) + """

            model.layers.{0-1}.mlp.gate.wg.weight 4 64
            model.layers.{0-1}.self_attn.{query_layernorm,key_layernorm}.weight 16
            """),
        ["dots1"] = ($$"""{"model_type":"dots1",{{Sizes}},"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"moe_intermediate_size":32,"first_k_dense_replace":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"n_group":1,"topk_group":1,"attention_bias":false}""",
            Ends + Head + Norms + Attention + QkNorm + Shared("mlp", 96, "0") + Experts("mlp", "1") + Shared("mlp.shared_experts", 32, "1") + """

            model.layers.1.mlp.gate.weight 4 64
            model.layers.1.mlp.gate.e_score_correction_bias 4
            """),
        ["minimax_m2"] = ($$"""{"model_type":"minimax_m2",{{Sizes}},"head_dim":16,"num_local_experts":4,"num_experts_per_tok":2,"rotary_dim":8,"rope_theta":5000000,"use_qk_norm":true,"scoring_func":"sigmoid"}""",
            Ends + Head + Norms + Attention + """

            model.layers.{0-1}.self_attn.q_norm.weight 64
            model.layers.{0-1}.self_attn.k_norm.weight 32
            model.layers.{0-1}.block_sparse_moe.gate.weight 4 64
            model.layers.{0-1}.block_sparse_moe.e_score_correction_bias 4
            model.layers.{0-1}.block_sparse_moe.experts.{0-3}.{w1,w3}.weight 96 64
            model.layers.{0-1}.block_sparse_moe.experts.{0-3}.w2.weight 64 96
            """),
        ["solar_open"] = ($$"""{"model_type":"solar_open",{{Sizes}},"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"moe_intermediate_size":32,"routed_scaling_factor":1.0,"norm_topk_prob":true,"n_group":1,"topk_group":1}""",
            Ends + Head + Norms + Attention + Experts("mlp") + Shared("mlp.shared_experts", 32) + """

            model.layers.{0-1}.mlp.gate.weight 4 64
            model.layers.{0-1}.mlp.gate.e_score_correction_bias 4
            """),
        ["afmoe"] = ($$"""{"model_type":"afmoe",{{Sizes}},"head_dim":16,"num_experts":4,"num_experts_per_tok":2,"num_shared_experts":1,"moe_intermediate_size":32,"num_dense_layers":1,"layer_types":["sliding_attention","full_attention"],"sliding_window":8,"mup_enabled":true,"score_func":"sigmoid","route_norm":true,"route_scale":2.0}""",
            Ends + Head + Norms + Attention + QkNorm + Shared("mlp", 96, "0") + Experts("mlp", "1") + Shared("mlp.shared_experts", 32, "1") + """

            model.layers.{0-1}.{pre_mlp_layernorm,post_mlp_layernorm}.weight 64
            model.layers.{0-1}.self_attn.gate_proj.weight 64 64
            model.layers.1.mlp.router.gate.weight 4 64
            model.layers.1.mlp.expert_bias 4
            """),
        ["dbrx"] = ("""{"model_type":"dbrx","d_model":64,"n_heads":4,"n_layers":2,"max_seq_len":64,"vocab_size":50,"attn_config":{"kv_n_heads":2,"clip_qkv":8},"ffn_config":{"ffn_hidden_size":32,"moe_num_experts":4,"moe_top_k":2,"moe_normalize_expert_weights":1,"ffn_act_fn":{"name":"silu"} },"tie_word_embeddings":false}""",
            Head + """

            transformer.wte.weight 50 64
            transformer.norm_f.weight 64
            transformer.blocks.{0-1}.norm_attn_norm.{norm_1,norm_2}.weight 64
            transformer.blocks.{0-1}.norm_attn_norm.attn.Wqkv.weight 128 64
            transformer.blocks.{0-1}.norm_attn_norm.attn.out_proj.weight 64 64
            transformer.blocks.{0-1}.ffn.router.layer.weight 4 64
            transformer.blocks.{0-1}.ffn.experts.mlp.{w1,v1,w2} 128 64
            """),
        ["jetmoe"] = ("""{"model_type":"jetmoe","hidden_size":64,"num_hidden_layers":2,"num_key_value_heads":2,"kv_channels":16,"num_attention_heads":4,"intermediate_size":32,"num_local_experts":4,"num_experts_per_tok":2,"vocab_size":50,"max_position_embeddings":64,"activation_function":"silu"}""",
            Ends + Norms + """

            model.layers.{0-1}.self_attention.kv_proj.weight 64 64
            model.layers.{0-1}.self_attention.experts.bias 64
            model.layers.{0-1}.self_attention.experts.router.layer.weight 4 64
            model.layers.{0-1}.self_attention.experts.input_linear.weight 4 32 64
            model.layers.{0-1}.self_attention.experts.output_linear.weight 4 64 32
            model.layers.{0-1}.mlp.bias 64
            model.layers.{0-1}.mlp.router.layer.weight 4 64
            model.layers.{0-1}.mlp.input_linear.weight 4 64 64
            model.layers.{0-1}.mlp.output_linear.weight 4 64 32
            """),
        ["deepseek_v2-lite"] = ($$"""{"model_type":"deepseek_v2",{{Sizes}},"q_lora_rank":null,"kv_lora_rank":32,"qk_nope_head_dim":16,"qk_rope_head_dim":8,"v_head_dim":16,"n_routed_experts":4,"n_shared_experts":2,"num_experts_per_tok":2,"moe_intermediate_size":32,"first_k_dense_replace":1,"moe_layer_freq":1,"topk_method":"greedy","scoring_func":"softmax","routed_scaling_factor":1.0,"topk_group":1,"n_group":1}""",
            Ends + Head + Norms + Shared("mlp", 96, "0") + Experts("mlp", "1") + Shared("mlp.shared_experts", 64, "1") + """

            model.layers.1.mlp.gate.weight 4 64
            model.layers.{0-1}.self_attn.q_proj.weight 96 64
            model.layers.{0-1}.self_attn.kv_a_proj_with_mqa.weight 40 64
            model.layers.{0-1}.self_attn.kv_a_layernorm.weight 32
            model.layers.{0-1}.self_attn.kv_b_proj.weight 128 32
            model.layers.{0-1}.self_attn.o_proj.weight 64 64
            """),
    };
}
