namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Families with linear attention, convolutions or state spaces beside attention.</summary>
internal static partial class PublishedFamilies
{
    private static string Mamba(string module) => $$"""

        {{module}}.in_proj.weight 296 64
        {{module}}.conv1d.weight 160 1 4
        {{module}}.conv1d.bias 160
        {{module}}.{A_log,D,dt_bias} 8
        {{module}}.norm.weight 128
        {{module}}.out_proj.weight 64 128

        """;

    private static string Qwen35Mixture => $$"""{"model_type":"qwen3_5_moe_text",{{Sizes}},"head_dim":16,"linear_num_key_heads":2,"linear_num_value_heads":4,"linear_key_head_dim":16,"linear_value_head_dim":8,"linear_conv_kernel_dim":4,"layer_types":["linear_attention","full_attention"],"rope_parameters":{"rope_theta":1e7,"partial_rotary_factor":0.25,"rope_type":"default","mrope_section":[1,1,0],"mrope_interleaved":true},"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,"shared_expert_intermediate_size":32}""";

    private static string Qwen35MixtureTensors => Ends + Head + Norms + Shared("mlp.shared_expert", 32) + """

        model.layers.{0-1}.mlp.gate.weight 4 64
        model.layers.{0-1}.mlp.shared_expert_gate.weight 1 64
        model.layers.0.linear_attn.in_proj_qkv.weight 96 64
        model.layers.0.linear_attn.in_proj_z.weight 32 64
        model.layers.0.linear_attn.{in_proj_a,in_proj_b}.weight 4 64
        model.layers.0.linear_attn.conv1d.weight 96 1 4
        model.layers.0.linear_attn.{A_log,dt_bias} 4
        model.layers.0.linear_attn.norm.weight 8
        model.layers.0.linear_attn.out_proj.weight 64 32
        model.layers.1.self_attn.q_proj.weight 128 64
        model.layers.1.self_attn.o_proj.weight 64 64
        model.layers.1.self_attn.{k_proj,v_proj}.weight 32 64
        model.layers.1.self_attn.{q_norm,k_norm}.weight 16
        """;

    private static string NemotronMixture => $$"""{"model_type":"nemotron_h",{{Sizes}},"hybrid_override_pattern":"ME*","head_dim":16,"mamba_num_heads":8,"mamba_head_dim":16,"n_groups":2,"ssm_state_size":8,"conv_kernel":4,"use_bias":false,"use_conv_bias":true,"mamba_hidden_act":"silu","mamba_proj_bias":false,"layer_norm_epsilon":1e-5,"mlp_hidden_act":"relu2","time_step_limit":[0.0,{"__float__":"Infinity"}],"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"moe_intermediate_size":32,"moe_shared_expert_intermediate_size":64,"moe_latent_size":null,"moe_shared_expert_overlap":true,"n_group":1,"topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"mtp_hybrid_override_pattern":"*E"}""".Replace("\"num_hidden_layers\":2,", "\"num_hidden_layers\":3,");

    private static string NemotronMixtureTensors => Head + Mamba("backbone.layers.0.mixer") + """

        backbone.embeddings.weight 50 64
        backbone.norm_f.weight 64
        backbone.layers.{0-2}.norm.weight 64
        backbone.layers.1.mixer.gate.weight 4 64
        backbone.layers.1.mixer.gate.e_score_correction_bias 4
        backbone.layers.1.mixer.shared_experts.up_proj.weight 64 64
        backbone.layers.1.mixer.shared_experts.down_proj.weight 64 64
        backbone.layers.2.mixer.{q_proj,o_proj}.weight 64 64
        backbone.layers.2.mixer.{k_proj,v_proj}.weight 32 64
        """;

    private static Dictionary<string, (string Config, string Tensors)> Recurrent => new()
    {
        ["qwen3_5_text"] = ($$"""{"model_type":"qwen3_5_text",{{Sizes}},"head_dim":16,"linear_num_key_heads":2,"linear_num_value_heads":4,"linear_key_head_dim":16,"linear_value_head_dim":8,"linear_conv_kernel_dim":4,"layer_types":["linear_attention","full_attention"],"rope_parameters":{"rope_theta":1e7,"partial_rotary_factor":0.25,"rope_type":"default","mrope_section":[1,1,0],"mrope_interleaved":true},"attn_output_gate":true,"tie_word_embeddings":true}""",
            Ends + Norms + Mlp + """

            model.layers.0.linear_attn.in_proj_qkv.weight 96 64
            model.layers.0.linear_attn.in_proj_z.weight 32 64
            model.layers.0.linear_attn.{in_proj_a,in_proj_b}.weight 4 64
            model.layers.0.linear_attn.conv1d.weight 96 1 4
            model.layers.0.linear_attn.{A_log,dt_bias} 4
            model.layers.0.linear_attn.norm.weight 8
            model.layers.0.linear_attn.out_proj.weight 64 32
            model.layers.1.self_attn.q_proj.weight 128 64
            model.layers.1.self_attn.o_proj.weight 64 64
            model.layers.1.self_attn.{k_proj,v_proj}.weight 32 64
            model.layers.1.self_attn.{q_norm,k_norm}.weight 16
            """),
        ["qwen3_5_moe_text"] = (Qwen35Mixture, Qwen35MixtureTensors + """

            model.layers.{0-1}.mlp.experts.gate_up_proj 4 64 64
            model.layers.{0-1}.mlp.experts.down_proj 4 64 32
            """),
        ["qwen3_5_moe_text-modules"] = (Qwen35Mixture, Qwen35MixtureTensors + Experts("mlp")),
        ["lfm2"] = ($$"""{"model_type":"lfm2",{{Sizes}},"block_ff_dim":96,"block_multiple_of":32,"block_ffn_dim_multiplier":1.0,"block_auto_adjust_ff_dim":true,"full_attn_idxs":[1],"conv_L_cache":3,"conv_bias":false,"norm_eps":1e-5}""",
            """
            model.embed_tokens.weight 50 64
            model.embedding_norm.weight 64
            model.layers.{0-1}.{operator_norm,ffn_norm}.weight 64
            model.layers.0.conv.in_proj.weight 192 64
            model.layers.0.conv.conv.weight 64 1 3
            model.layers.0.conv.out_proj.weight 64 64
            model.layers.1.self_attn.{q_proj,out_proj}.weight 64 64
            model.layers.1.self_attn.{k_proj,v_proj}.weight 32 64
            model.layers.1.self_attn.{q_layernorm,k_layernorm}.weight 16
            model.layers.{0-1}.feed_forward.{w1,w3}.weight 64 64
            model.layers.{0-1}.feed_forward.w2.weight 64 64
            """),
        ["bamba"] = ($$"""{"model_type":"bamba",{{Sizes}},"attn_layer_indices":[1],"mamba_n_heads":8,"mamba_d_head":16,"mamba_n_groups":2,"mamba_d_state":8,"mamba_d_conv":4,"mamba_expand":2,"mamba_conv_bias":true,"mamba_proj_bias":false,"time_step_limit":[0.0,{"__float__":"Infinity"}]}""",
            Ends.Replace("model.norm", "model.final_layernorm") + Head + """

            model.layers.{0-1}.{input_layernorm,pre_ff_layernorm}.weight 64
            model.layers.{0-1}.feed_forward.{gate_proj,up_proj}.weight 96 64
            model.layers.{0-1}.feed_forward.down_proj.weight 64 96
            model.layers.1.self_attn.{q_proj,o_proj}.weight 64 64
            model.layers.1.self_attn.{k_proj,v_proj}.weight 32 64
            """ + Mamba("model.layers.0.mamba")),
        ["granitemoehybrid"] = ($$"""{"model_type":"granitemoehybrid",{{Sizes}},"layer_types":["mamba","attention"],"num_local_experts":4,"num_experts_per_tok":2,"shared_intermediate_size":32,"mamba_n_heads":8,"mamba_d_head":16,"mamba_n_groups":2,"mamba_d_state":8,"embedding_multiplier":12,"logits_scaling":6,"residual_multiplier":0.22,"attention_multiplier":0.0156,"tie_word_embeddings":true,"position_embedding_type":"nope"}""",
            Ends + Norms + Mamba("model.layers.0.mamba") + """

            model.layers.1.self_attn.{q_proj,o_proj}.weight 64 64
            model.layers.1.self_attn.{k_proj,v_proj}.weight 32 64
            model.layers.{0-1}.block_sparse_moe.router.layer.weight 4 64
            model.layers.{0-1}.block_sparse_moe.input_linear.weight 4 192 64
            model.layers.{0-1}.block_sparse_moe.output_linear.weight 4 64 96
            model.layers.{0-1}.shared_mlp.input_linear.weight 64 64
            model.layers.{0-1}.shared_mlp.output_linear.weight 64 32
            """),
        ["nemotron_h"] = ($$"""{"model_type":"nemotron_h",{{Sizes}},"num_hidden_layers":3,"hybrid_override_pattern":"M-*","head_dim":16,"mamba_num_heads":8,"mamba_head_dim":16,"n_groups":2,"ssm_state_size":8,"conv_kernel":4,"use_bias":false,"use_conv_bias":true,"layer_norm_epsilon":1e-5,"mlp_hidden_act":"relu2","time_step_limit":[0.0,100.0]}""".Replace("\"num_hidden_layers\":2,", ""),
            Head + Mamba("backbone.layers.0.mixer") + """

            backbone.embeddings.weight 50 64
            backbone.norm_f.weight 64
            backbone.layers.{0-2}.norm.weight 64
            backbone.layers.1.mixer.up_proj.weight 96 64
            backbone.layers.1.mixer.down_proj.weight 64 96
            backbone.layers.2.mixer.{q_proj,o_proj}.weight 64 64
            backbone.layers.2.mixer.{k_proj,v_proj}.weight 32 64
            """),
        ["falcon_h1"] = ($$"""{"model_type":"falcon_h1",{{Sizes}},"head_dim":16,"mamba_d_ssm":96,"mamba_n_heads":6,"mamba_d_head":16,"mamba_n_groups":2,"mamba_d_state":8,"mamba_d_conv":4,"mamba_expand":2,"mamba_chunk_size":128,"mamba_conv_bias":true,"mamba_proj_bias":false,"mamba_norm_before_gate":false,"mamba_rms_norm":false,"mamba_use_mlp":true,"projectors_bias":false,"mlp_bias":false,"attention_bias":false,"embedding_multiplier":5.65,"lm_head_multiplier":0.0195,"key_multiplier":0.39,"attention_in_multiplier":1.1,"attention_out_multiplier":0.94,"ssm_in_multiplier":1.25,"ssm_out_multiplier":0.24,"ssm_multipliers":[0.35,0.25,0.18,0.5,0.35],"mlp_multipliers":[0.88,0.6],"rope_theta":100000000000.0,"rms_norm_eps":1e-5}""",
            Ends.Replace("model.norm", "model.final_layernorm") + Head + Attention + """

            model.layers.{0-1}.{input_layernorm,pre_ff_layernorm}.weight 64
            model.layers.{0-1}.feed_forward.{gate_proj,up_proj}.weight 96 64
            model.layers.{0-1}.feed_forward.down_proj.weight 64 96
            model.layers.{0-1}.mamba.in_proj.weight 230 64
            model.layers.{0-1}.mamba.conv1d.weight 128 1 4
            model.layers.{0-1}.mamba.conv1d.bias 128
            model.layers.{0-1}.mamba.{A_log,D,dt_bias} 6
            model.layers.{0-1}.mamba.out_proj.weight 64 96
            """),
        ["nemotron_h-moe"] = (NemotronMixture, NemotronMixtureTensors + """

            backbone.layers.1.mixer.experts.{0-3}.up_proj.weight 32 64
            backbone.layers.1.mixer.experts.{0-3}.down_proj.weight 64 32
            """),
        ["nemotron_h-latent"] = (NemotronMixture.Replace("\"moe_latent_size\":null", "\"moe_latent_size\":32"), NemotronMixtureTensors + """

            backbone.layers.1.mixer.experts.{0-3}.up_proj.weight 32 32
            backbone.layers.1.mixer.experts.{0-3}.down_proj.weight 32 32
            backbone.layers.1.mixer.fc1_latent_proj.weight 32 64
            backbone.layers.1.mixer.fc2_latent_proj.weight 64 32
            """),
        ["nemotron_h-stacked"] = (NemotronMixture.Replace("\"hybrid_override_pattern\":\"ME*\"", "\"layers_block_type\":[\"linear_attention\",\"moe\",\"full_attention\"]"),
            NemotronMixtureTensors.Replace("backbone.", "model.") + """

            model.layers.1.mixer.experts.up_proj 4 32 64
            model.layers.1.mixer.experts.down_proj 4 64 32
            """),
    };
}
