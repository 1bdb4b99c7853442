namespace AwqQuantize.Engine.Packing;

/// <summary>
/// What vLLM asks of an AWQ checkpoint, so that it is known before hours of work and not after. Source: vLLM's
/// <c>awq.py</c>, <c>awq_marlin.py</c> and <c>marlin_utils.py</c>.
/// </summary>
public static class VllmRules
{
    private const int PackFactor = 8;
    private const int MarlinOutputs = 64;
    private const int MarlinInputs = 128;
    private static readonly int[] MarlinGroups = [32, 64, 128, -1];

    /// <param name="linears">All linears of the checkpoint, quantised and not.</param>
    /// <param name="groupSize">As in the config: -1 for a whole row.</param>
    /// <param name="tensorParallelSize">Devices that share each linear.</param>
    /// <returns>Problems in a fixed order; empty when vLLM runs it with its fast kernel.</returns>
    public static IReadOnlyList<VllmProblem> Check(IReadOnlyList<VllmLinear> linears, int groupSize, int tensorParallelSize = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tensorParallelSize, 1);
        var problems = new List<VllmProblem>();
        if (!MarlinGroups.Contains(groupSize))
            problems.Add(Slow("", $"group size {groupSize} is none of 32, 64, 128 and -1"));
        foreach (var linear in linears)
        {
            if (linear.IsQuantized && linear.IsRouter)
                problems.Add(Fatal(linear.Module, "a router must stay float"));
            else if (linear.IsQuantized)
                CheckShape(linear, groupSize, tensorParallelSize, problems);
        }
        foreach (var siblings in linears.Where(l => l.FusedWith is not null).GroupBy(l => l.FusedWith!, StringComparer.Ordinal))
        {
            var plain = siblings.Where(s => !s.IsQuantized).Select(s => s.Module).ToList();
            if (plain.Count > 0 && plain.Count < siblings.Count())
                problems.Add(Fatal(siblings.Key, $"it is fused from linears of which some are float ({string.Join(", ", plain)}) and some are quantised"));
        }
        return problems;
    }

    private static void CheckShape(VllmLinear linear, int groupSize, int devices, List<VllmProblem> problems)
    {
        var inputs = linear.In;
        var outputs = linear.Out;
        if (linear.Split == ParallelSplit.Inputs)
        {
            if (inputs % devices != 0)
            {
                problems.Add(Fatal(linear.Module, $"{inputs} input channels cannot be divided over {devices} devices"));
                return;
            }
            inputs /= devices;
        }
        else if (linear.Split == ParallelSplit.Outputs)
        {
            // Fewer heads than devices are repeated: each device has one.
            var parts = linear.Heads is { } heads && heads < devices ? heads : devices;
            if (outputs % parts != 0 || (linear.Heads is { } h && (h < devices ? devices % h : h % devices) != 0))
            {
                problems.Add(Fatal(linear.Module, $"{outputs} output channels cannot be divided over {devices} devices"));
                return;
            }
            outputs /= parts;
        }
        if (groupSize == -1 && inputs != linear.In)
        {
            problems.Add(Fatal(linear.Module, "a group of a whole row cannot be divided over devices"));
            return;
        }
        if (groupSize != -1 && inputs % groupSize != 0)
        {
            problems.Add(Fatal(linear.Module,
                $"{inputs} input channels per device are no multiple of the group size {groupSize} (\"input size is not aligned with the quantized weight shape\")"));
            return;
        }
        if (outputs % PackFactor != 0)
        {
            problems.Add(Fatal(linear.Module, $"{outputs} output channels per device are no multiple of {PackFactor}"));
            return;
        }
        if (linear.IsExpert)
            CheckExpert(linear, inputs, outputs, groupSize, problems);
        else if (outputs % MarlinOutputs != 0 || inputs % MarlinInputs != 0)
            problems.Add(Slow(linear.Module, $"[{outputs}, {inputs}] per device: the fast kernel needs multiples of [{MarlinOutputs}, {MarlinInputs}]"));
    }

    private static void CheckExpert(VllmLinear linear, int inputs, int outputs, int groupSize, List<VllmProblem> problems)
    {
        // The side that is divided is the experts' intermediate size, the other one the hidden size.
        var (hidden, intermediate) = linear.Split == ParallelSplit.Inputs ? (outputs, inputs) : (inputs, outputs);
        var step = Math.Max(MarlinOutputs, groupSize);
        if (hidden % MarlinInputs != 0)
            problems.Add(Slow(linear.Module, $"the hidden size {hidden} of an expert is no multiple of {MarlinInputs}"));
        if (intermediate % step != 0)
            problems.Add(Slow(linear.Module, $"the intermediate size {intermediate} of an expert per device is no multiple of {step}"));
    }

    private static VllmProblem Slow(string module, string message) => new(module, VllmSeverity.SlowKernel, message);

    private static VllmProblem Fatal(string module, string message) => new(module, VllmSeverity.DoesNotLoad, message);
}
