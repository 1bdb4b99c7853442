namespace AwqQuantize.Engine.Packing;

/// <summary>How tensor parallelism divides a linear.</summary>
public enum ParallelSplit
{
    /// <summary>By output channels: projections that read the hidden states.</summary>
    Outputs,

    /// <summary>By input channels: projections that write the hidden states.</summary>
    Inputs,

    /// <summary>Not at all; every device has all of it.</summary>
    None,
}

/// <summary>A linear as <see cref="VllmRules"/> looks at it.</summary>
/// <param name="Module">Full name in the checkpoint.</param>
/// <param name="In">Input channels.</param>
/// <param name="Out">Output channels.</param>
/// <param name="IsQuantized">Whether it is quantised in the checkpoint.</param>
/// <param name="Split">How it is divided.</param>
/// <param name="FusedWith">Full name of the module that vLLM fuses it into with its siblings, or null.</param>
/// <param name="IsExpert">Whether it belongs to a routed expert.</param>
/// <param name="IsRouter">Whether it is a mixture's router.</param>
/// <param name="Heads">For key and value projections the number of heads: vLLM repeats heads where there are fewer than
/// devices. Null for the others.</param>
public sealed record VllmLinear(
    string Module, int In, int Out, bool IsQuantized, ParallelSplit Split, string? FusedWith = null,
    bool IsExpert = false, bool IsRouter = false, int? Heads = null)
{
    private static readonly string[] WritesHiddenStates =
    [
        "o_proj", "out_proj", "down_proj", "dense", "dense_4h_to_h", "c_proj", "fc2", "fc_out", "w2", "wo", "linear_2",
    ];

    /// <summary>How a linear of that name is divided, by the names that model families use.</summary>
    public static ParallelSplit SplitByName(string module) =>
        WritesHiddenStates.Contains(module[(module.LastIndexOf('.') + 1)..]) ? ParallelSplit.Inputs : ParallelSplit.Outputs;
}
