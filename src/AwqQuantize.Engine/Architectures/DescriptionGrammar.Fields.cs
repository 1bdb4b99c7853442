namespace AwqQuantize.Engine.Architectures;

internal static partial class DescriptionGrammar
{
    public static readonly string[] BlockKinds = ["attention", "latent_attention", "delta_net", "short_convolution", "mamba", "mlp", "mixture", "attention_mixture"];

    private static Field Name(string key, string meaning, bool required = false) => new(key, FieldKind.Name, meaning, required);

    private static Field Number(string key, string meaning, bool required = false) => new(key, FieldKind.Number, meaning, required);

    private static Field Flag(string key, string meaning) => new(key, FieldKind.Flag, meaning);

    private static Field Node(string key, string node, string meaning, bool required = false) => new(key, FieldKind.Object, meaning, required, node);

    private static Field Norm(string key, string meaning, string node = "norm") => new(key, FieldKind.Norm, meaning, Node: node);

    private static Field Keyword(string key, string meaning, params string[] values) => new(key, FieldKind.Keyword, meaning, Values: values);

    private static readonly Field[] NormFields =
    [
        Keyword("kind", "rms: root mean square; layer: mean and variance", "rms", "layer"),
        Number("epsilon", "added to the variance or mean square"),
        Flag("one_plus", "multiplies by 1 + weight"),
        Flag("weight", "false where the norm has no parameters"),
        Flag("bias", "whether there is a bias"),
    ];

    public static readonly IReadOnlyDictionary<string, Field[]> Nodes = new Dictionary<string, Field[]>
    {
        ["root"] =
        [
            new("model_type", FieldKind.Strings, "the config's model_type values that this description is for; none for a base of others"),
            Name("extends", "name of the description that this one changes (JSON merge patch)"),
            new("roots", FieldKind.Strings, "what {root} in names can stand for; the first under which the token embedding is found"),
            new("let", FieldKind.Map, "variables: expressions that others can use by name; hidden, layers, vocabulary and positions must be among them"),
            Node("norm", "norm_defaults", "what the description's norms are unless they say otherwise"),
            Node("embedding", "embedding", "token ids to hidden states", required: true),
            Node("layer", "layer", "one decoder layer; i is its index", required: true),
            Norm("final_norm", "norm before the head"),
            Node("head", "head", "hidden states to logits", required: true),
            new("ignored_tensors", FieldKind.Strings, "patterns (with *) of tensors that mean nothing"),
            Flag("ignore_layers_beyond", "tensors of layers at and past the layer count are tolerated (next-token prediction)"),
            new("supported", FieldKind.Map, "config keys (a.b within objects) with the values that are supported; null and a missing key always are"),
            new("neutral", FieldKind.Map, "config keys that must have one of these values, or be missing, where the description does not read them"),
            new("example", FieldKind.Map, "config values of a small model, for Get-AwqArchitecture to derive its groups with"),
            new("inert", FieldKind.Strings, "config keys (patterns with *) that do not change what the model computes"),
        ],
        ["norm_defaults"] = NormFields,
        ["norm"] = [Name("name", "module"), Number("size", "channels, where not those of the residual stream"), .. NormFields],
        ["head_norm"] =
        [
            Name("name", "module; {h} stands for the head where each has one of its own"), .. NormFields,
            Keyword("span", "head: one weight for each head alike; each_head: weights of its own; all: all heads at once", "head", "each_head", "all"),
            Flag("after_rotary", "comes after the rotary embedding"),
        ],
        ["embedding"] =
        [
            Name("tokens", "module of the token embedding", required: true),
            Number("width", "its columns where not the hidden size"),
            Number("multiplier", "factor"),
            Norm("norm", "norm of the embedding"),
            Name("positions", "module of learned positions"),
            Number("position_rows", "rows of the learned positions"),
            Number("position_offset", "row of position 0"),
            Flag("sinusoidal", "positions are [sin | cos], not stored"),
            Name("project_in", "linear from the embedding's width to the hidden size"),
        ],
        ["head"] =
        [
            new("name", FieldKind.Strings, "module of the head; the first of several that exists"),
            Flag("tied", "the weight is the token embedding's"),
            Flag("bias", "whether there is a bias"),
            Number("multiplier", "factor of the logits"),
            Number("soft_cap", "cap of the logits"),
            Name("project_out", "linear from the hidden size to the embedding's width"),
            Flag("normalized_weight", "rows of the weight are divided by their length"),
        ],
        ["layer"] =
        [
            Name("prefix", "module of layer {i}", required: true),
            Flag("parallel", "all blocks read the same residual stream"),
            new("parallel_blocks", FieldKind.Strings, "names of the blocks that read the same residual stream, where not all do; they follow each other"),
            new("order", FieldKind.Strings, "names of blocks in the order in which they run, where that differs; the others follow"),
            Flag("transposed_linears", "linears are stored as [in, out]"),
            new("blocks", FieldKind.Map, "residual branches by name, in the order in which they stand", Required: true, Node: "block"),
        ],
        ["block"] =
        [
            Keyword("kind", "what the branch computes", BlockKinds),
            Norm("norm", "norm of the branch's input"),
            Norm("output_norm", "norm of the branch's output"),
            Norm("stream_norm", "norm of the residual stream after the addition"),
            Number("input_multiplier", "factor of the branch's input, behind the norm"),
            Number("multiplier", "factor of the branch's output"),
            Flag("residual_from_norm", "the norm's output is also what the branch's output is added to"),
            Flag("bias", "the linears of the input have biases"),
        ],
        ["block:attention"] =
        [
            Name("query", "linear"), Name("key", "linear"), Name("value", "linear"), Name("output", "linear", required: true),
            Name("key_value", "linear that gives, per kv head, [key | value]"),
            Node("fused", "fused", "one linear for queries, keys and values"),
            Name("gate", "linear of the input whose sigmoid multiplies the heads' outputs"),
            Flag("gated_query", "per head, query gives [query | gate]"),
            Flag("output_bias", "output has a bias"),
            Number("heads", "query heads", required: true), Number("kv_heads", "key-value heads"), Number("head_dim", "channels of a head", required: true),
            Norm("query_norm", "norm of the queries", "head_norm"), Norm("key_norm", "norm of the keys", "head_norm"),
            Node("rotary", "rotary", "rotary position embedding"),
            Node("alibi", "alibi", "linear biases"),
            Node("temperature", "temperature", "queries × (1 + strength · ln(1 + floor((position + offset) / period)))"),
            Number("scale", "factor of the scores; head_dim^-0.5 if absent"),
            Number("window", "positions that a query sees, its own included"),
            Number("chunk", "length of aligned chunks within which positions see each other"),
            Number("soft_cap", "cap of the scores"),
            Number("clip", "clamp of queries, keys and values"),
            Name("sinks", "parameter [heads]: one more logit per head"),
            Flag("tiled_kv", "query head h uses kv head h % kv_heads"),
        ],
        ["block:mlp"] = [.. MlpFields],
        ["block:latent_attention"] =
        [
            Name("query", "linear, where there is no query_rank"), Name("query_latent", "linear"), Name("query_from_latent", "linear"),
            Name("kv_latent", "linear to [kv latent | shared rotary key]", required: true), Name("kv_from_latent", "linear to, per head, [key | value]", required: true),
            Name("output", "linear", required: true), Flag("output_bias", "output has a bias"),
            Norm("query_latent_norm", "norm"), Norm("kv_latent_norm", "norm"),
            Number("heads", "heads", required: true), Number("query_rank", "width of the queries' latent; 0 or null for none"),
            Number("kv_rank", "width of the kv latent", required: true), Number("nope_dim", "channels of a head without position", required: true),
            Number("rope_dim", "channels of a head with rotary embedding", required: true), Number("value_dim", "channels of a head's values", required: true),
            Node("rotary", "rotary", "rotary position embedding"), Number("scale", "factor of the scores"),
        ],
        ["block:delta_net"] =
        [
            Name("fused_qkvz", "linear, per key head [query, key, values, gates]"), Name("fused_ba", "linear, per key head [write strengths, decays]"),
            Name("qkv", "linear"), Name("output_gate", "linear"), Name("write_strength", "linear"), Name("decay", "linear"),
            Name("convolution", "module", required: true), Name("log_rate", "parameter", required: true), Name("decay_bias", "parameter", required: true),
            Norm("head_norm", "norm of each head's output"), Name("output", "linear", required: true),
            Number("key_heads", "heads", required: true), Number("value_heads", "heads", required: true),
            Number("key_dim", "channels", required: true), Number("value_dim", "channels", required: true), Number("kernel", "taps", required: true),
        ],
        ["block:mamba"] =
        [
            Name("input", "linear to [gate | x, B, C | time steps]", required: true), Name("convolution", "module", required: true),
            Flag("convolution_bias", "it has a bias; true if absent"), Name("log_rate", "parameter", required: true), Name("skip", "parameter", required: true),
            Name("step_bias", "parameter", required: true), Norm("state_norm", "norm of the gated output"), Number("norm_groups", "parts that it is taken over"),
            Flag("norm_before_gate", "it comes before the gate"), Name("output", "linear", required: true), Flag("output_bias", "output has a bias; as the input if absent"),
            Number("gate_multiplier", "factor of that part of input's output"), Number("x_multiplier", "the same"), Number("b_multiplier", "the same"),
            Number("c_multiplier", "the same"), Number("step_multiplier", "the same"),
            Number("heads", "heads", required: true), Number("head_dim", "channels of a head", required: true),
            Number("groups", "groups of heads that share B and C", required: true), Number("state_size", "size of the state", required: true),
            Number("kernel", "taps", required: true), Number("min_step", "least time step"), Number("max_step", "largest time step"),
        ],
        ["block:short_convolution"] =
        [
            Name("input", "linear to [B, C, x]", required: true), Name("convolution", "module", required: true), Name("output", "linear", required: true),
            Number("kernel", "taps", required: true),
        ],
        ["block:mixture"] =
        [
            Node("router", "router", "chooses and weights the experts", required: true),
            Node("experts", "experts", "routed experts", required: true),
            Node("shared", "shared", "an expert that all tokens share"),
            Number("latent", "width of what the experts read and give, where that is not the input itself"),
            Name("to_latent", "linear from the input to that"), Name("from_latent", "linear from the experts' sum to the output"), Flag("latent_bias", "both have biases"),
            Name("output_bias_parameter", "parameter that is added to the output"),
        ],
        ["block:attention_mixture"] =
        [
            Node("router", "router", "chooses and weights the experts", required: true),
            Number("count", "experts", required: true), Number("per_token", "experts per token", required: true),
            Number("heads", "heads of keys and values, and of each expert", required: true), Number("head_dim", "channels of a head", required: true),
            Name("key_value", "linear to [keys | values]", required: true), Name("prefix", "module of expert {e} that the tensors are split into", required: true),
            Name("queries", "tensor [experts, width, hidden]", required: true), Name("outputs", "tensor [experts, hidden, width]", required: true),
            Name("output_bias_parameter", "parameter that is added to the output"), Node("rotary", "rotary", "rotary position embedding"),
        ],
        ["router"] =
        [
            Name("name", "linear", required: true), Flag("bias", "it has a bias"),
            Keyword("scores", "what the logits become before the choice", "softmax", "sigmoid", "logits", "sparse_mixer"),
            Name("correction", "parameter added for the choice only"), Flag("correction_is_row", "it is stored as [1, experts]"),
            Flag("float32", "the weight stays float32 on disk"),
            Number("groups", "groups of experts"), Number("top_groups", "groups that are eligible"),
            Keyword("group_score", "best: of its experts; top2: sum of the two best", "best", "top2"),
            Number("masked_score", "score of the others; minus infinity if absent"),
            Keyword("after", "function of the chosen scores", "softmax", "sigmoid"),
            Number("normalize", "the weights are divided by their p-norm of this order; 0 for not"),
            Number("normalize_epsilon", "added to that norm"), Number("normalize_floor", "least value of that norm"),
            Number("scaling", "factor of the weights"), Number("jitter", "tolerance of sparse_mixer"),
            Flag("on_input", "the weights multiply the experts' inputs"),
        ],
        ["experts"] =
        [
            Number("count", "experts", required: true), Number("per_token", "experts per token", required: true),
            Number("width", "channels between", required: true), Name("prefix", "module of expert {e}", required: true),
            Name("gate", "linear"), Name("up", "linear", required: true), Name("down", "linear", required: true), Flag("bias", "the linears have biases"),
            Keyword("activation", "Hugging Face's name of the function", ActivationSpec.Known), Number("limit", "clamp of clamped_swiglu"),
            Node("stacked", "stacked", "tensors that hold all experts; the modules above are what they are split into"),
        ],
        ["stacked"] =
        [
            Name("gate_up", "tensor"), Name("gate", "tensor"), Name("up", "tensor"), Name("down", "tensor", required: true),
            Keyword("layout", "of an expert's slice", "in_out", "out_in"), Keyword("down_layout", "of down's, where it differs", "in_out", "out_in"),
            Flag("interleaved", "gate and up alternate"), Flag("flat", "slices follow each other in one matrix"),
        ],
        ["shared"] = [.. MlpFields, Flag("bias", "the linears have biases"), Name("output_gate", "linear whose sigmoid multiplies the output")],
        ["fused"] =
        [
            Name("name", "linear", required: true),
            Number("groups", "the rows are this many groups of [queries, keys, values]; 1 if absent"),
            Keyword("order", "order within a group", "qkv", "qvk"),
        ],
        ["rotary"] =
        [
            Number("theta", "base of the frequencies", required: true),
            Number("dims", "rotated dimensions; all of a head's if absent"),
            Keyword("pairs", "half: j and j + dims/2; interleaved: 2j and 2j+1", "half", "interleaved"),
            new("scaling", FieldKind.Value, "the config's scaling object"),
            new("scaling_keys", FieldKind.Strings, "keys of that object that the description reads itself"),
        ],
        ["alibi"] =
        [
            Keyword("slopes", "extended: bloom's; interleaved: mpt's", "extended", "interleaved"),
            Number("max_bias", "exponent of the last slope, for interleaved"),
            Flag("scaled", "the bias takes the softmax scale too"),
            Flag("bfloat16", "the bias is rounded to bfloat16"),
        ],
        ["temperature"] = [Number("strength", "factor", required: true), Number("period", "positions", required: true), Number("offset", "positions")],
    };

    private static Field[] MlpFields =>
    [
        Name("gate", "linear"), Name("up", "linear"), Name("down", "linear", required: true),
        Name("gate_up", "one linear for gate and up"),
        Flag("up_first", "the rows of gate_up begin with up"),
        Number("gate_multiplier", "factor of the gate before the activation"),
        Number("width", "channels between", required: true),
        Keyword("activation", "Hugging Face's name of the function", ActivationSpec.Known),
        Number("limit", "clamp of clamped_swiglu"),
        Name("activation_module", "module with the parameters of xielu"),
        Flag("down_bias", "down has a bias; as the others if absent"),
    ];
}
