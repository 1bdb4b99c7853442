using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Architectures;

/// <summary>Ways to stretch rotary embeddings to longer contexts, by their Hugging Face names.</summary>
public enum RotaryScalingKind
{
    Linear,
    Dynamic,
    Yarn,
    LongRope,
    Llama3,
}

/// <summary>A config's <c>rope_scaling</c> (or <c>rope_parameters</c>).</summary>
public sealed record RotaryScaling(RotaryScalingKind Kind, double Factor, double OriginalPositions)
{
    private static readonly string[] KnownKeys =
    [
        "type", "rope_type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings", "attention_factor",
        "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate", "low_freq_factor", "high_freq_factor", "short_factor", "long_factor",
        "short_mscale", "long_mscale", "mrope_section", "mrope_interleaved", "finetuned",
    ];

    public double LowFrequency { get; init; }

    public double HighFrequency { get; init; }

    public double BetaFast { get; init; } = 32;

    public double BetaSlow { get; init; } = 1;

    public bool Truncate { get; init; } = true;

    public double ShortAttentionFactor { get; init; } = 1;

    public double LongAttentionFactor { get; init; } = 1;

    public float[]? ShortFactors { get; init; }

    public float[]? LongFactors { get; init; }

    /// <summary>Reads the object that the description's <c>scaling</c> evaluates to.</summary>
    /// <exception cref="AwqException"><c>ConfigValueNotSupported</c>: a type or key that this engine does not know.</exception>
    internal static RotaryScaling? Read(DescriptionNode node, int maxPositions)
    {
        if (node.Object("scaling") is not { } json)
            return null;
        object? Get(string key) => Expression.FromJson(json[key]);
        double? Number(string key) => Get(key) switch
        {
            null => null,
            double d => d,
            var other => throw ExpressionScope.UnsupportedKey($"rope_scaling.{key}", other, ["a number"]),
        };
        double Needed(string key) => Number(key) ?? throw ExpressionScope.UnsupportedKey($"rope_scaling.{key}", null, ["a number"]);
        float[] List(string key, int length) => json[key] is JsonArray a && a.Count == length
            ? [.. a.Select(v => (float)(Expression.FromJson(v) as double? ?? 0))]
            : throw ExpressionScope.UnsupportedKey($"rope_scaling.{key}", json[key]?.ToJsonString(), [$"a list of {length} numbers"]);

        var typeKey = json["rope_type"] is not null ? "rope_type" : "type";
        var type = Get(typeKey) as string ?? "default";
        var more = node.Texts("scaling_keys");
        foreach (var (key, value) in json)
        {
            if (value is not null && !KnownKeys.Contains(key) && !more.Contains(key))
                throw ExpressionScope.UnsupportedKey($"rope_scaling.{key}", value.ToJsonString(), ["the key's absence"]);
        }
        var original = Number("original_max_position_embeddings") ?? maxPositions;
        var half = (node.Has("dims") ? (int)node.RequiredNumber("dims") : 0) / 2;
        switch (type)
        {
            case "default" or "mrope":
                return null;
            case "linear":
                return new RotaryScaling(RotaryScalingKind.Linear, Needed("factor"), original);
            case "dynamic":
                return new RotaryScaling(RotaryScalingKind.Dynamic, Needed("factor"), original);
            case "llama3":
                return new RotaryScaling(RotaryScalingKind.Llama3, Needed("factor"), Needed("original_max_position_embeddings"))
                {
                    LowFrequency = Needed("low_freq_factor"),
                    HighFrequency = Needed("high_freq_factor"),
                };
            case "yarn":
                var factor = Number("factor") ?? maxPositions / original;
                var (all, some) = (Number("mscale_all_dim"), Number("mscale"));
                var attention = Number("attention_factor") ??
                    (some is > 0 && all is > 0 ? YarnScale(factor, some.Value) / YarnScale(factor, all.Value) : YarnScale(factor, 1));
                return new RotaryScaling(RotaryScalingKind.Yarn, factor, original)
                {
                    BetaFast = Number("beta_fast") ?? 32,
                    BetaSlow = Number("beta_slow") ?? 1,
                    Truncate = json["truncate"] is null || Expression.Truth(Get("truncate")),
                    ShortAttentionFactor = attention,
                    LongAttentionFactor = attention,
                };
            case "longrope" or "su":
                var stretch = Number("factor") ?? maxPositions / original;
                var scale = Number("attention_factor") ?? (stretch <= 1 ? 1 : Math.Sqrt(1 + Math.Log(stretch) / Math.Log(original)));
                return new RotaryScaling(RotaryScalingKind.LongRope, stretch, original)
                {
                    ShortFactors = List("short_factor", half),
                    LongFactors = List("long_factor", half),
                    ShortAttentionFactor = Number("short_mscale") ?? scale,
                    LongAttentionFactor = Number("long_mscale") ?? scale,
                };
            default:
                throw ExpressionScope.UnsupportedKey($"rope_scaling.{typeKey}", type, ["default", "linear", "dynamic", "yarn", "longrope", "su", "llama3"]);
        }
    }

    /// <summary>YaRN's magnitude correction, 0.1·m·ln(factor) + 1 (arXiv 2309.00071).</summary>
    internal static double YarnScale(double factor, double m) => factor <= 1 ? 1 : 0.1 * m * Math.Log(factor) + 1;

    /// <summary>What cos and sin are multiplied by.</summary>
    internal double AttentionFactor(int length) => length > OriginalPositions ? LongAttentionFactor : ShortAttentionFactor;

    internal float[] Apply(float[] plain, RotarySpec rotary, int length)
    {
        switch (Kind)
        {
            case RotaryScalingKind.Linear:
                return [.. plain.Select(f => f / (float)Factor)];
            case RotaryScalingKind.LongRope:
                var factors = length > OriginalPositions ? LongFactors! : ShortFactors!;
                return [.. plain.Select((_, j) => 1f / (factors[j] * (float)Math.Pow(rotary.Theta, 2.0 * j / rotary.Dims)))];
            case RotaryScalingKind.Llama3:
                return [.. plain.Select(Llama3)];
            case RotaryScalingKind.Yarn:
                return Yarn(plain, rotary);
            default:
                return plain;
        }
    }

    private float Llama3(float frequency)
    {
        var wavelength = 2 * Math.PI / frequency;
        if (wavelength < OriginalPositions / HighFrequency)
            return frequency;
        if (wavelength > OriginalPositions / LowFrequency)
            return (float)(frequency / Factor);
        var smooth = (OriginalPositions / wavelength - LowFrequency) / (HighFrequency - LowFrequency);
        return (float)((1 - smooth) * frequency / Factor + smooth * frequency);
    }

    private float[] Yarn(float[] plain, RotarySpec rotary)
    {
        double Dimension(double rotations) =>
            rotary.Dims * Math.Log(OriginalPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(rotary.Theta));
        var (low, high) = (Dimension(BetaFast), Dimension(BetaSlow));
        if (Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, rotary.Dims - 1));
        if (low == high)
            high += 0.001;
        return [.. plain.Select((f, j) =>
        {
            var keep = 1 - Math.Clamp((j - low) / (high - low), 0, 1);
            return (float)(f / Factor * (1 - keep) + f * keep);
        })];
    }
}
