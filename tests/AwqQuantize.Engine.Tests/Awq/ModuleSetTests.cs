using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Packing;
using AwqQuantize.Engine.Tests.Layers;

namespace AwqQuantize.Engine.Tests.Awq;

public sealed class ModuleSetTests
{
    public static TheoryData<string> Cases => [.. TinyModel.Cases];

    /// <summary>Whatever stays float can be named, so that readers leave it and nothing else float.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void EverySetCanStayFloatAlone(string name)
    {
        using var tiny = TinyModel.Open(name);
        var kept = tiny.Graph.Layers.ToDictionary(l => l, l => ModuleSelection.StayFloat(l, 32, []));
        var quantised = kept.SelectMany(l => l.Key.Linears.Where(m => !l.Value.ContainsKey(m.Module)).Select(m => l.Key.Prefix + m.Module)).ToHashSet();
        foreach (var (layer, reasons) in kept)
        {
            var sets = ModuleSet.Of(layer, reasons);
            Assert.Equal(layer.Linears.Where(l => !reasons.ContainsKey(l.Module)).Select(l => l.Module).Order(), sets.SelectMany(s => s.Modules).Order());
            foreach (var set in sets)
            {
                var inSet = set.Modules.Select(m => layer.Prefix + m).ToHashSet();
                var config = new QuantizationConfig(32, ModuleExclusions.Create(inSet, quantised.Except(inSet).ToHashSet()));
                Assert.All(quantised, m => Assert.Equal(inSet.Contains(m), config.IsExcluded(m)));
                Assert.All(layer.Linears.Where(l => l.FusedWith is not null && set.Modules.Contains(l.Module)),
                    l => Assert.Subset(set.Modules.ToHashSet(), layer.Linears.Where(o => o.FusedWith == l.FusedWith).Select(o => o.Module).ToHashSet()));
            }
        }
    }

    [Theory]
    [InlineData("llama", "self_attn.q_proj, self_attn.k_proj, self_attn.v_proj")]
    [InlineData("llama", "mlp.gate_proj, mlp.up_proj")]
    [InlineData("deepseek_v3", "self_attn.q_a_proj, self_attn.kv_a_proj_with_mqa")]
    public void SiblingsThatReadersFuseAreOneSet(string name, string modules)
    {
        using var tiny = TinyModel.Open(name);
        Assert.Contains(tiny.Graph.Layers.SelectMany(l => ModuleSet.Of(l, ModuleSelection.StayFloat(l, 32, []))), s => string.Join(", ", s.Modules) == modules);
    }

    [Fact]
    public void ALinearWhoseNameIsPartOfAnotherOneIsNoSet()
    {
        using var tiny = TinyModel.Open("llama");
        var layer = tiny.Graph.Layers[0];
        LinearSpec Linear(string module) => new(module, 64, 64, false, "mlp.input");
        var odd = layer with { Linears = [Linear("mlp.gate"), Linear("mlp.gate_proj"), Linear("mlp.down")] };
        Assert.Equal(["mlp.gate_proj", "mlp.down"], ModuleSet.Of(odd, new Dictionary<string, string>()).Select(s => s.Name));
    }
}
