using AwqQuantize.Engine.Packing;

namespace AwqQuantize.Engine.Tests.Packing;

public sealed class VllmRulesTests
{
    private static VllmLinear Linear(string module, int inputs, int outputs, bool quantized = true, string? fused = null, int? heads = null) =>
        new("model.layers.0." + module, inputs, outputs, quantized, VllmLinear.SplitByName(module), fused, Heads: heads);

    private static VllmLinear Expert(string module, int inputs, int outputs) =>
        new("model.layers.0." + module, inputs, outputs, true, VllmLinear.SplitByName(module), IsExpert: true);

    /// <summary>The linears of a layer of Llama 3 8B.</summary>
    private static VllmLinear[] Llama() =>
    [
        Linear("self_attn.q_proj", 4096, 4096, fused: "qkv"), Linear("self_attn.k_proj", 4096, 1024, fused: "qkv", heads: 8),
        Linear("self_attn.v_proj", 4096, 1024, fused: "qkv", heads: 8), Linear("self_attn.o_proj", 4096, 4096),
        Linear("mlp.gate_proj", 4096, 14336, fused: "gate_up"), Linear("mlp.up_proj", 4096, 14336, fused: "gate_up"), Linear("mlp.down_proj", 14336, 4096),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void ALlamaOfOrdinarySizeRunsOnAnyUsualNumberOfDevices(int devices) => Assert.Empty(VllmRules.Check(Llama(), 128, devices));

    [Fact]
    public void KeyAndValueHeadsAreRepeatedWhereThereAreMoreDevices() =>
        Assert.Empty(VllmRules.Check([Linear("self_attn.k_proj", 4096, 1024, heads: 8)], 128, 16));

    [Fact]
    public void AGroupThatIsCutByParallelismDoesNotLoad()
    {
        // 1536 / 8 = 192 inputs per device: no multiple of 128, but of 64.
        var linears = new[] { Linear("mlp.down_proj", 1536, 4096) };
        var problem = Assert.Single(VllmRules.Check(linears, 128, 8));
        Assert.Equal(VllmSeverity.DoesNotLoad, problem.Severity);
        Assert.Contains("192", problem.Message, StringComparison.Ordinal);
        Assert.Equal(VllmSeverity.SlowKernel, Assert.Single(VllmRules.Check(linears, 64, 8)).Severity);
        Assert.Equal(VllmSeverity.DoesNotLoad, Assert.Single(VllmRules.Check([Linear("mlp.down_proj", 100, 64)], 32, 8)).Severity);
    }

    [Theory]
    [InlineData(16, VllmSeverity.SlowKernel)]
    [InlineData(256, VllmSeverity.SlowKernel)]
    public void AnUnusualGroupSizeCostsTheFastKernel(int group, VllmSeverity severity)
    {
        var problem = Assert.Single(VllmRules.Check(Llama(), group));
        Assert.Equal((severity, ""), (problem.Severity, problem.Module));
    }

    [Fact]
    public void ARowLongGroupCannotBeDivided()
    {
        Assert.Empty(VllmRules.Check([Linear("mlp.down_proj", 4096, 4096)], -1));
        Assert.Equal(VllmSeverity.DoesNotLoad, Assert.Single(VllmRules.Check([Linear("mlp.down_proj", 4096, 4096)], -1, 2)).Severity);
        Assert.Empty(VllmRules.Check([Linear("mlp.up_proj", 4096, 4096)], -1, 2));
    }

    [Theory]
    [InlineData(4096, 4104, VllmSeverity.SlowKernel)]
    [InlineData(4064, 4096, VllmSeverity.SlowKernel)]
    [InlineData(4096, 4100, VllmSeverity.DoesNotLoad)]
    public void TheFastKernelNeedsRoundNumbers(int inputs, int outputs, VllmSeverity severity) =>
        Assert.Equal(severity, Assert.Single(VllmRules.Check([Linear("mlp.up_proj", inputs, outputs)], 32)).Severity);

    [Fact]
    public void FusedSiblingsAreQuantisedTogether()
    {
        var linears = Llama();
        linears[1] = linears[1] with { IsQuantized = false };
        var problem = Assert.Single(VllmRules.Check(linears, 128));
        Assert.Equal(("qkv", VllmSeverity.DoesNotLoad), (problem.Module, problem.Severity));
        Assert.Contains("k_proj", problem.Message, StringComparison.Ordinal);
        Assert.Empty(VllmRules.Check([.. linears.Select(l => l with { IsQuantized = false })], 128));
    }

    [Fact]
    public void RoutersStayFloat()
    {
        var router = new VllmLinear("model.layers.0.mlp.gate", 2048, 64, true, ParallelSplit.None, IsRouter: true);
        Assert.Equal(VllmSeverity.DoesNotLoad, Assert.Single(VllmRules.Check([router], 128)).Severity);
        Assert.Empty(VllmRules.Check([router with { IsQuantized = false }], 128));
    }

    [Fact]
    public void ExpertsNeedRoundSizesPerDevice()
    {
        VllmLinear[] experts = [Expert("mlp.experts.0.gate_proj", 2048, 768), Expert("mlp.experts.0.down_proj", 768, 2048)];
        Assert.Empty(VllmRules.Check(experts, 128));
        Assert.Empty(VllmRules.Check(experts, 128, 2));
        // 192 per device.
        Assert.Contains(VllmRules.Check(experts, 128, 4), p => p.Module.EndsWith("gate_proj", StringComparison.Ordinal) && p.Severity == VllmSeverity.SlowKernel);
        Assert.Contains(VllmRules.Check(experts, 128, 4), p => p.Module.EndsWith("down_proj", StringComparison.Ordinal) && p.Severity == VllmSeverity.DoesNotLoad);
        Assert.Empty(VllmRules.Check(experts, 64, 4));
    }
}
