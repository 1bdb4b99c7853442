namespace AwqQuantize.Engine.Packing;

/// <summary>What vLLM does about a problem.</summary>
public enum VllmSeverity
{
    /// <summary>It loads, but with its slow kernel.</summary>
    SlowKernel,

    /// <summary>It refuses to load, or loads something else than was meant.</summary>
    DoesNotLoad,
}

/// <summary>One thing about a checkpoint that vLLM will stumble over.</summary>
/// <param name="Module">Module that it concerns; empty where it concerns the whole checkpoint.</param>
/// <param name="Message">What is wrong, with the numbers.</param>
public sealed record VllmProblem(string Module, VllmSeverity Severity, string Message);
