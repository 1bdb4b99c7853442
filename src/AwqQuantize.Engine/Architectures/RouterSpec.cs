namespace AwqQuantize.Engine.Architectures;

/// <summary>What a router makes of its logits before it chooses.</summary>
public enum RouterScores
{
    Softmax,
    Sigmoid,

    /// <summary>The logits themselves.</summary>
    Logits,

    /// <summary>phimoe's: two experts, each weighted by a softmax over those within 2·jitter of the best that is left.</summary>
    SparseMixer,
}

/// <summary>How a mixture of experts chooses and weights its experts. The steps are in the order in which they happen.</summary>
public sealed record RouterSpec
{
    public required string Module { get; init; }

    public bool Bias { get; init; }

    public required RouterScores Scores { get; init; }

    /// <summary>Parameter added to the scores for the choice only, or null; stays float32 on disk.</summary>
    public string? Correction { get; init; }

    /// <summary>The correction is stored as [1, experts] in place of [experts].</summary>
    public bool CorrectionIsRow { get; init; }

    /// <summary>The router's weight stays float32 on disk.</summary>
    public bool Float32 { get; init; }

    /// <summary>Experts are in this many groups, of which <see cref="TopGroups"/> are eligible; 1 for no groups.</summary>
    public int Groups { get; init; } = 1;

    public int TopGroups { get; init; } = 1;

    /// <summary>A group's score is the sum of its two best scores; else its best.</summary>
    public bool GroupScoreIsTop2 { get; init; }

    /// <summary>What the scores of ineligible groups become.</summary>
    public double MaskedScore { get; init; } = double.NegativeInfinity;

    /// <summary>The weights are a softmax over the chosen scores.</summary>
    public bool SoftmaxAfter { get; init; }

    /// <summary>The weights are a sigmoid of the chosen scores.</summary>
    public bool SigmoidAfter { get; init; }

    /// <summary>The weights are divided by their p-norm of this order; 0 for not.</summary>
    public double Normalize { get; init; }

    /// <summary>Added to that norm.</summary>
    public double NormalizeEpsilon { get; init; }

    /// <summary>Least value of that norm.</summary>
    public double NormalizeFloor { get; init; }

    public double Scaling { get; init; } = 1;

    public double Jitter { get; init; }

    /// <summary>The weights multiply the experts' inputs in place of their outputs.</summary>
    public bool OnInput { get; init; }

    internal static RouterSpec Read(DescriptionNode node) => new()
    {
        Module = node.RequiredText("name"),
        Bias = node.Flag("bias", false),
        Scores = node.Keyword("scores", "softmax", "sigmoid", "logits", "sparse_mixer") switch
        {
            "sigmoid" => RouterScores.Sigmoid,
            "logits" => RouterScores.Logits,
            "sparse_mixer" => RouterScores.SparseMixer,
            _ => RouterScores.Softmax,
        },
        Correction = node.Text("correction"),
        CorrectionIsRow = node.Flag("correction_is_row", false),
        Float32 = node.Flag("float32", false),
        Groups = node.Integer("groups") ?? 1,
        TopGroups = node.Integer("top_groups") ?? 1,
        GroupScoreIsTop2 = node.Keyword("group_score", "best", "top2") == "top2",
        MaskedScore = node.Number("masked_score") ?? double.NegativeInfinity,
        SoftmaxAfter = node.Keyword("after", "softmax", "sigmoid") == "softmax",
        SigmoidAfter = node.Keyword("after", "softmax", "sigmoid") == "sigmoid",
        Normalize = node.Number("normalize") ?? 0,
        NormalizeEpsilon = node.Number("normalize_epsilon") ?? 0,
        NormalizeFloor = node.Number("normalize_floor") ?? 0,
        Scaling = node.Number("scaling") ?? 1,
        Jitter = node.Number("jitter") ?? 0,
        OnInput = node.Flag("on_input", false),
    };

    internal void Describe(LayerPlan plan, int hidden, int experts, string site)
    {
        plan.Linear(new LinearSpec(Module, hidden, experts, Bias, site, KeepFloatReason: "router"), Float32);
        if (Correction is not null)
            plan.Float32Parameter(Correction, CorrectionIsRow ? [1, experts] : [experts]);
    }
}
