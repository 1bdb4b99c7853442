namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Families that differ in names, norms, biases and fused linears.</summary>
internal static partial class PublishedFamilies
{
    private static Dictionary<string, (string Config, string Tensors)> Dense => new()
    {
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
        ["ernie4_5"] = ($$"""{"model_type":"ernie4_5",{{Sizes}},"head_dim":16,"use_bias":false,"rms_norm_eps":1e-5,"rope_theta":500000.0}""", Llama),
        ["hunyuan_v1_dense"] = ($$"""{"model_type":"hunyuan_v1_dense",{{Sizes}},"head_dim":16,"attention_bias":false,"rope_theta":10000.0,"rope_scaling":{"alpha":1000.0,"beta_fast":32,"beta_slow":1,"factor":1.0,"mscale":1.0,"mscale_all_dim":1.0,"type":"dynamic"},"tie_word_embeddings":true}""",
            Llama + "model.layers.{0-1}.self_attn.{query_layernorm,key_layernorm}.weight 16"),
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
        ["ministral3"] = ($$"""{"model_type":"ministral3",{{Sizes}},"head_dim":16,"rope_parameters":{"rope_type":"yarn","rope_theta":1000000.0,"factor":4.0,"original_max_position_embeddings":16,"beta_fast":32,"beta_slow":1,"mscale":1.0,"mscale_all_dim":1.0,"llama_4_scaling_beta":0.1} }""", Llama + Head),
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
    };
}
