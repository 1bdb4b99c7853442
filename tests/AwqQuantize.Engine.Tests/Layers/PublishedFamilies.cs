namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>
/// Families without reference outputs: a config as they publish it, with small numbers, and every tensor that such a checkpoint
/// has. Hidden 64, vocabulary 50, two layers; 4 heads of 16, 2 of them key-value heads.
/// </summary>
internal static class PublishedFamilies
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

    private static string Mamba(string module) => $$"""

        {{module}}.in_proj.weight 296 64
        {{module}}.conv1d.weight 160 1 4
        {{module}}.conv1d.bias 160
        {{module}}.{A_log,D,dt_bias} 8
        {{module}}.norm.weight 128
        {{module}}.out_proj.weight 64 128

        """;

    private static string Experts(string prefix, string layers = "{0-1}") => $$"""

        model.layers.{{layers}}.{{prefix}}.experts.{0-3}.{gate_proj,up_proj}.weight 32 64
        model.layers.{{layers}}.{{prefix}}.experts.{0-3}.down_proj.weight 64 32

        """;

    private static string Shared(string module, int width, string layers = "{0-1}") => $$"""

        model.layers.{{layers}}.{{module}}.{gate_proj,up_proj}.weight {{width}} 64
        model.layers.{{layers}}.{{module}}.down_proj.weight 64 {{width}}

        """;

    private static readonly string Qwen35Mixture = $$"""{"model_type":"qwen3_5_moe_text",{{Sizes}},"head_dim":16,"linear_num_key_heads":2,"linear_num_value_heads":4,"linear_key_head_dim":16,"linear_value_head_dim":8,"linear_conv_kernel_dim":4,"layer_types":["linear_attention","full_attention"],"rope_parameters":{"rope_theta":1e7,"partial_rotary_factor":0.25,"rope_type":"default","mrope_section":[1,1,0],"mrope_interleaved":true},"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,"shared_expert_intermediate_size":32}""";

    private static readonly string Qwen35MixtureTensors = Ends + Head + Norms + Shared("mlp.shared_expert", 32) + """

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

    /// <summary>Config and tensors by case; the part before a dash is the model type.</summary>
    public static readonly IReadOnlyDictionary<string, (string Config, string Tensors)> All = new Dictionary<string, (string, string)>
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
        ["persimmon"] = ("""{"model_type":"persimmon","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":96,"vocab_size":50,"max_position_embeddings":64,"partial_rotary_factor":0.5,"qk_layernorm":true,"rope_theta":25000.0,"layer_norm_eps":1e-5,"hidden_act":"relu2"}""",
            Head + """

            model.embed_tokens.weight 50 64
            model.final_layernorm.{weight,bias} 64
            model.layers.{0-1}.{input_layernorm,post_attention_layernorm}.{weight,bias} 64
            model.layers.{0-1}.self_attn.query_key_value.weight 192 64
            model.layers.{0-1}.self_attn.query_key_value.bias 192
            model.layers.{0-1}.self_attn.dense.weight 64 64
            model.layers.{0-1}.self_attn.dense.bias 64
            model.layers.{0-1}.self_attn.{q_layernorm,k_layernorm}.{weight,bias} 16
            model.layers.{0-1}.mlp.dense_h_to_4h.weight 96 64
            model.layers.{0-1}.mlp.dense_h_to_4h.bias 96
            model.layers.{0-1}.mlp.dense_4h_to_h.weight 64 96
            model.layers.{0-1}.mlp.dense_4h_to_h.bias 64
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
        ["ernie4_5"] = ($$"""{"model_type":"ernie4_5",{{Sizes}},"head_dim":16,"use_bias":false,"rms_norm_eps":1e-5,"rope_theta":500000.0}""", Llama),
        ["ernie4_5_moe"] = ($$"""{"model_type":"ernie4_5_moe",{{Sizes}},"moe_num_experts":4,"moe_k":2,"moe_intermediate_size":32,"moe_num_shared_experts":2,"moe_layer_start_index":1,"moe_layer_end_index":1,"moe_layer_interval":1,"use_bias":false}""",
            Ends + Norms + Attention + Shared("mlp", 96, "0") + Experts("mlp", "1") + Shared("mlp.shared_experts", 64, "1") + """

            model.layers.1.mlp.gate.weight 4 64
            model.layers.1.mlp.moe_statics.e_score_correction_bias 1 4
            """),
        ["hunyuan_v1_dense"] = ($$"""{"model_type":"hunyuan_v1_dense",{{Sizes}},"head_dim":16,"attention_bias":false,"rope_theta":10000.0,"rope_scaling":{"alpha":1000.0,"beta_fast":32,"beta_slow":1,"factor":1.0,"mscale":1.0,"mscale_all_dim":1.0,"type":"dynamic"},"tie_word_embeddings":true}""",
            Llama + "model.layers.{0-1}.self_attn.{query_layernorm,key_layernorm}.weight 16"),
        ["hunyuan_v1_moe"] = ($$"""{"model_type":"hunyuan_v1_moe",{{Sizes}},"intermediate_size":32,"num_experts":4,"moe_topk":[2,2],"tie_word_embeddings":true}""".Replace("\"intermediate_size\":96,", ""),
            Ends + Norms + Attention + Experts("mlp") + Shared("mlp.shared_mlp", 32) + """

            model.layers.{0-1}.mlp.gate.wg.weight 4 64
            model.layers.{0-1}.self_attn.{query_layernorm,key_layernorm}.weight 16
            """),
        ["nemotron"] = ($$"""{"model_type":"nemotron",{{Sizes}},"hidden_act":"relu2","norm_eps":1e-5,"partial_rotary_factor":0.5,"attention_bias":false,"mlp_bias":false}""",
            Ends + Head + Norms + Attention + """

            model.norm.bias 64
            model.layers.{0-1}.{input_layernorm,post_attention_layernorm}.bias 64
            model.layers.{0-1}.mlp.up_proj.weight 96 64
            model.layers.{0-1}.mlp.down_proj.weight 64 96
            """),
        ["helium"] = ($$"""{"model_type":"helium",{{Sizes}},"head_dim":16,"rms_norm_eps":1e-8,"rope_theta":100000.0}""", Llama + Head),
        ["arcee"] = ($$"""{"model_type":"arcee",{{Sizes}},"hidden_act":"relu2","head_dim":16,"rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":16} }""",
            Ends + Head + Norms + Attention + """

            model.layers.{0-1}.mlp.up_proj.weight 96 64
            model.layers.{0-1}.mlp.down_proj.weight 64 96
            """),
        ["apertus"] = ($$"""{"model_type":"apertus",{{Sizes}},"hidden_act":"xielu"}""",
            Ends + Head + Attention + QkNorm + """

            model.layers.{0-1}.{attention_layernorm,feedforward_layernorm}.weight 64
            model.layers.{0-1}.mlp.up_proj.weight 96 64
            model.layers.{0-1}.mlp.down_proj.weight 64 96
            model.layers.{0-1}.mlp.act_fn.{alpha_p,alpha_n} 1
            model.layers.{0-1}.mlp.act_fn.{beta,eps}
            """),
        ["seed_oss"] = ($$"""{"model_type":"seed_oss",{{Sizes}},"head_dim":16,"attention_bias":true,"attention_out_bias":false,"mlp_bias":false}""",
            Llama + Head + """

            model.layers.{0-1}.self_attn.q_proj.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
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
        ["ministral3"] = ($$"""{"model_type":"ministral3",{{Sizes}},"head_dim":16,"rope_parameters":{"rope_type":"yarn","rope_theta":1000000.0,"factor":4.0,"original_max_position_embeddings":16,"beta_fast":32,"beta_slow":1,"mscale":1.0,"mscale_all_dim":1.0,"llama_4_scaling_beta":0.1} }""", Llama + Head),
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
        ["xglm"] = ("""{"model_type":"xglm","d_model":64,"num_layers":2,"attention_heads":4,"ffn_dim":96,"vocab_size":50,"max_position_embeddings":64,"scale_embedding":true,"activation_function":"gelu"}""",
            """
            model.embed_tokens.weight 50 64
            model.layer_norm.{weight,bias} 64
            model.layers.{0-1}.{self_attn_layer_norm,final_layer_norm}.{weight,bias} 64
            model.layers.{0-1}.self_attn.{q_proj,k_proj,v_proj,out_proj}.weight 64 64
            model.layers.{0-1}.self_attn.{q_proj,k_proj,v_proj,out_proj}.bias 64
            model.layers.{0-1}.fc1.weight 96 64
            model.layers.{0-1}.fc1.bias 96
            model.layers.{0-1}.fc2.weight 64 96
            model.layers.{0-1}.fc2.bias 64
            """),
        ["gpt_neo"] = ("""{"model_type":"gpt_neo","hidden_size":64,"num_layers":2,"num_heads":4,"attention_types":[[["global","local"],1]],"window_size":8,"vocab_size":50,"max_position_embeddings":64,"activation_function":"gelu_new","intermediate_size":null}""",
            """
            transformer.wte.weight 50 64
            transformer.wpe.weight 64 64
            transformer.ln_f.{weight,bias} 64
            transformer.h.{0-1}.{ln_1,ln_2}.{weight,bias} 64
            transformer.h.{0-1}.attn.attention.bias 1 1 64 64 # the mask
            transformer.h.{0-1}.attn.attention.masked_bias
            transformer.h.{0-1}.attn.attention.{q_proj,k_proj,v_proj,out_proj}.weight 64 64
            transformer.h.{0-1}.attn.attention.out_proj.bias 64
            transformer.h.{0-1}.mlp.c_fc.weight 256 64
            transformer.h.{0-1}.mlp.c_fc.bias 256
            transformer.h.{0-1}.mlp.c_proj.weight 64 256
            transformer.h.{0-1}.mlp.c_proj.bias 64
            """),
        ["codegen"] = ("""{"model_type":"codegen","n_embd":64,"n_layer":2,"n_head":4,"rotary_dim":8,"n_positions":64,"vocab_size":50,"activation_function":"gelu_new"}""",
            Head + """

            transformer.wte.weight 50 64
            transformer.ln_f.{weight,bias} 64
            lm_head.bias 50
            transformer.h.{0-1}.ln_1.{weight,bias} 64
            transformer.h.{0-1}.attn.causal_mask 1 1 64 64
            transformer.h.{0-1}.attn.qkv_proj.weight 192 64
            transformer.h.{0-1}.attn.out_proj.weight 64 64
            transformer.h.{0-1}.mlp.fc_in.weight 256 64
            transformer.h.{0-1}.mlp.fc_in.bias 256
            transformer.h.{0-1}.mlp.fc_out.weight 64 256
            transformer.h.{0-1}.mlp.fc_out.bias 64
            """),
        ["falcon-alibi"] = ("""{"model_type":"falcon","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"alibi":true,"bias":true,"multi_query":false,"parallel_attn":false,"new_decoder_architecture":false,"vocab_size":50}""",
            """
            transformer.word_embeddings.weight 50 64
            transformer.ln_f.{weight,bias} 64
            transformer.h.{0-1}.{input_layernorm,post_attention_layernorm}.{weight,bias} 64
            transformer.h.{0-1}.self_attention.query_key_value.weight 192 64
            transformer.h.{0-1}.self_attention.query_key_value.bias 192
            transformer.h.{0-1}.self_attention.dense.weight 64 64
            transformer.h.{0-1}.self_attention.dense.bias 64
            transformer.h.{0-1}.mlp.dense_h_to_4h.weight 256 64
            transformer.h.{0-1}.mlp.dense_h_to_4h.bias 256
            transformer.h.{0-1}.mlp.dense_4h_to_h.weight 64 256
            transformer.h.{0-1}.mlp.dense_4h_to_h.bias 64
            """),
        ["olmo3"] = ($$"""{"model_type":"olmo3",{{Sizes}},"layer_types":["sliding_attention","full_attention"],"sliding_window":8,"rope_theta":10000.0,"rope_scaling":{"rope_type":"yarn","factor":8.0,"original_max_position_embeddings":8,"attention_factor":1.2,"beta_fast":32,"beta_slow":1} }""",
            Ends + Head + Attention + Mlp + """

            model.layers.{0-1}.{post_attention_layernorm,post_feedforward_layernorm}.weight 64
            model.layers.{0-1}.self_attn.q_norm.weight 64
            model.layers.{0-1}.self_attn.k_norm.weight 32
            """),
        ["glm"] = ($$"""{"model_type":"glm",{{Sizes}},"head_dim":16,"attention_bias":true,"partial_rotary_factor":0.5}""",
            Ends + Head + Norms + Attention + """

            model.layers.{0-1}.self_attn.q_proj.bias 64
            model.layers.{0-1}.self_attn.{k_proj,v_proj}.bias 32
            model.layers.{0-1}.mlp.gate_up_proj.weight 192 64
            model.layers.{0-1}.mlp.down_proj.weight 64 96
            """),
        ["opt-350m"] = ("""{"model_type":"opt","hidden_size":64,"word_embed_proj_dim":32,"do_layer_norm_before":false,"num_hidden_layers":2,"num_attention_heads":4,"ffn_dim":96,"vocab_size":50,"max_position_embeddings":64,"activation_function":"relu"}""",
            """
            decoder.embed_tokens.weight 50 32
            decoder.embed_positions.weight 66 64
            decoder.project_in.weight 64 32
            decoder.project_out.weight 32 64
            decoder.layers.{0-1}.{self_attn_layer_norm,final_layer_norm}.{weight,bias} 64
            decoder.layers.{0-1}.self_attn.{q_proj,k_proj,v_proj,out_proj}.weight 64 64
            decoder.layers.{0-1}.self_attn.{q_proj,k_proj,v_proj,out_proj}.bias 64
            decoder.layers.{0-1}.fc1.weight 96 64
            decoder.layers.{0-1}.fc1.bias 96
            decoder.layers.{0-1}.fc2.weight 64 96
            decoder.layers.{0-1}.fc2.bias 64
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
    };
}
