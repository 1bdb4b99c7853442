using System.Text.Json.Nodes;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Layers;

/// <summary>Parts that no reference model exercises, against their formulas written out in plain loops.</summary>
public sealed class FormulaTests
{
    private static RotarySpec Rotary(string type, string config, int maxPositions = 32)
    {
        var (source, tensors) = PublishedFamilies.All[type];
        var json = JsonNode.Parse(source)!.AsObject();
        foreach (var (key, value) in JsonNode.Parse(config)!.AsObject())
            json[key] = value?.DeepClone();
        json["max_position_embeddings"] = maxPositions;
        return ((AttentionSpec)Repository.Catalog.Resolve(json, RandomModel.Shapes(tensors)).Layers[0].Blocks[0]).Rotary!;
    }

    [Fact]
    public void LinearAndDynamicScaling()
    {
        var linear = Rotary("xverse", """{"rope_theta":10000.0,"rope_scaling":{"type":"linear","factor":4.0}}""").Frequencies(16).Frequencies;
        for (var j = 0; j < 8; j++)
            Assert.Equal(Math.Pow(10000, -2 * j / 16.0) / 4, linear[j], 1e-6);
        var dynamic = Rotary("xverse", """{"rope_theta":10000.0,"rope_scaling":{"type":"dynamic","factor":2.0}}""");
        var stretched = 10000 * Math.Pow(2.0 * 64 / 32 - 1, 16.0 / 14);
        for (var j = 0; j < 8; j++)
        {
            Assert.Equal(Math.Pow(10000, -2 * j / 16.0), dynamic.Frequencies(32).Frequencies[j], 1e-6);
            Assert.Equal(Math.Pow(stretched, -2 * j / 16.0), dynamic.Frequencies(64).Frequencies[j], 1e-6);
        }
    }

    [Fact]
    public void LongRopeChangesItsFactorsPastTheOriginalLength()
    {
        var rotary = Rotary("xverse", """
            {"rope_theta":10000.0,"rope_scaling":{"type":"su","short_factor":[1,1,1,1,1,1,1,2],"long_factor":[1,2,3,4,5,6,7,8],"original_max_position_embeddings":8}}
            """);
        var scale = Math.Sqrt(1 + Math.Log(32 / 8.0) / Math.Log(8));
        Assert.Equal(scale, rotary.Frequencies(8).Factor, 1e-6);
        Assert.Equal(scale, rotary.Frequencies(9).Factor, 1e-6);
        Assert.Equal(Math.Pow(10000, -14 / 16.0) / 2, rotary.Frequencies(8).Frequencies[7], 1e-7);
        Assert.Equal(Math.Pow(10000, -14 / 16.0) / 8, rotary.Frequencies(9).Frequencies[7], 1e-7);
    }

    [Fact]
    public void HunyuansAlphaChangesTheBase() =>
        Assert.Equal(Math.Pow(10000 * Math.Pow(1000, 16.0 / 14), -2 / 16.0),
            Rotary("hunyuan_v1_dense", "{}").Frequencies(16).Frequencies[1], 1e-6);

    /// <summary>phimoe: two experts; each weight is a softmax over those within 2·jitter, relative, of the best that is left.</summary>
    [Fact]
    public void SparseMixer()
    {
        const double jitter = 0.1;
        double[] logits = [1.0, 0.9, 0.5, -2.0];
        static double Share(double[] logits, int best, bool[] left) => Math.Exp(logits[best]) / Enumerable.Range(0, logits.Length)
            .Where(e => left[e] && (logits[best] - logits[e]) / Math.Max(Math.Abs(logits[e]), logits[best]) <= 2 * jitter).Sum(e => Math.Exp(logits[e]));
        var (experts, weights) = Router.Choose(new RouterSpec { Module = "r", Scores = RouterScores.SparseMixer, Jitter = jitter }, 2,
            tensor(logits.Select(l => (float)l).ToArray()).view(1, 4), null);
        Assert.Equal([0L, 1L], experts.data<long>().ToArray());
        var found = weights.data<float>().ToArray();
        Assert.Equal(Share(logits, 0, [true, true, true, true]), found[0], 1e-6);
        Assert.Equal(Share(logits, 1, [false, true, true, true]), found[1], 1e-6);
        Assert.Equal(1.0, found[1], 1e-6);
        Assert.True(found[0] < 0.6);
    }

    [Fact]
    public void PNormAndCorrectionOfRouters()
    {
        var logits = tensor([0.1f, 0.4f, 0.2f, 0.3f]).view(1, 4);
        var spec = new RouterSpec { Module = "r", Scores = RouterScores.Softmax, Normalize = 2 };
        var (experts, weights) = Router.Choose(spec, 2, logits, tensor([5f, 0f, 5f, 0f]));
        Assert.Equal([0L, 2L], experts.data<long>().ToArray().Order());
        Assert.Equal(1.0, weights.square().sum().item<float>(), 1e-6);
        Assert.Equal(Math.Exp(0.1), (double)weights.max().item<float>() / weights.min().item<float>(), 1e-5);
    }

    [Theory]
    [InlineData(0.7)]
    [InlineData(-0.4)]
    [InlineData(-3.0)]
    public void Xielu(double x)
    {
        using var model = RandomModel.Open(PublishedFamilies.All["apertus"].Config, PublishedFamilies.All["apertus"].Tensors);
        using var layer = model.LoadLayer(0);
        double Value(string name) => layer.Weights[$"mlp.act_fn.{name}"].item<float>();
        layer.Weights["mlp.act_fn.eps"].fill_(-1e-6f);
        layer.Weights["mlp.act_fn.beta"].fill_(0.5f);
        static double Softplus(double v) => Math.Log(1 + Math.Exp(v));
        var (beta, eps) = (Value("beta"), Value("eps"));
        var expected = x > 0 ? Softplus(Value("alpha_p")) * x * x + beta * x
            : (Math.Exp(Math.Min(x, eps)) - 1 - x) * (beta + Softplus(Value("alpha_n"))) + beta * x;
        var actual = Activation.Apply(new ActivationSpec("xielu", Module: "mlp.act_fn"), layer.Weights, tensor([(float)x]));
        Assert.Equal(expected, actual.item<float>(), 1e-5);
    }

    /// <summary>falcon: (q·k + slope · position) / sqrt(d), with bfloat16 biases; six heads, which are no power of two.</summary>
    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void LinearBiases(bool scaled, bool bfloat16)
    {
        const int heads = 6, length = 9, d = 4;
        // Powers for four heads, then every second one of those for eight.
        float[] slopes = [1 / 4f, 1 / 16f, 1 / 64f, 1 / 256f, 1 / 2f, 1 / 8f];
        using var tables = new PositionTables(CPU);
        var (q, k, v) = (randn([1, heads, length, d]), randn([1, heads, length, d]), randn([1, heads, length, d]));
        var result = AttentionCore.Run(q.clone(), k, v, new AttentionBias(0.5, Alibi: new AlibiSpec(slopes, scaled, bfloat16)), null, tables);
        for (var h = 0; h < heads; h++)
        {
            for (var t = 0; t < length; t++)
            {
                var weights = Enumerable.Range(0, t + 1).Select(p =>
                {
                    var score = q[0, h, t].mul(k[0, h, p]).sum().item<float>();
                    return Math.Exp(scaled ? (score + slopes[h] * p) * 0.5 : score * 0.5 + slopes[h] * p);
                }).ToArray();
                var expected = Enumerable.Range(0, t + 1).Sum(p => weights[p] / weights.Sum() * v[0, h, p, 1].item<float>());
                Assert.Equal(expected, result[0, t, h * d + 1].item<float>(), 1e-4);
            }
        }
        var (config, tensors) = PublishedFamilies.All["baichuan-13b"];
        var sixHeads = RandomModel.Shapes(tensors.Replace("W_pack.weight 192", "W_pack.weight 144").Replace("o_proj.weight 64 64", "o_proj.weight 64 48"));
        var spec = (AttentionSpec)Repository.Catalog.Resolve(JsonNode.Parse(config.Replace("\"num_attention_heads\":4", "\"num_attention_heads\":6,\"head_dim\":8"))!.AsObject(), sixHeads).Layers[0].Blocks[0];
        Assert.Equal(slopes, spec.Alibi!.Slopes);
    }

    /// <summary>The chunked delta rule against the recurrence itself, over more than one chunk.</summary>
    [Fact]
    public void DeltaRuleIsItsRecurrence()
    {
        using var scope = NewDisposeScope();
        const int heads = 2, length = 150, dk = 4, dv = 3;
        var (q, k, v) = (randn([1, heads, length, dk]), nn.functional.normalize(randn([1, heads, length, dk]), dim: -1), randn([1, heads, length, dv]));
        var (decay, beta) = (randn([1, heads, length]).abs().neg().mul(0.3), randn([1, heads, length]).sigmoid());
        var actual = DeltaNetRunner.DeltaRule(q, k, v, decay, beta);
        for (var h = 0; h < heads; h++)
        {
            var state = zeros([dk, dv]);
            for (var t = 0; t < length; t++)
            {
                state = state.mul(decay[0, h, t].exp());
                var error = v[0, h, t].sub(k[0, h, t].unsqueeze(0).mm(state).squeeze(0)).mul(beta[0, h, t]);
                state = state.add(k[0, h, t].unsqueeze(1).mm(error.unsqueeze(0)));
                var expected = q[0, h, t].unsqueeze(0).mm(state).squeeze(0);
                Assert.True(expected.sub(actual[0, h, t]).abs().max().item<float>() < 1e-4f);
            }
        }
    }

    /// <summary>The chunked state space scan against the recurrence itself, over more than one chunk.</summary>
    [Fact]
    public void MambasScanIsItsRecurrence()
    {
        using var scope = NewDisposeScope();
        const int length = 150, dim = 3, size = 4;
        var (x, b, c) = (randn([1, 1, length, dim]), randn([1, 1, length, size]), randn([1, 1, length, size]));
        var decay = randn([1, 1, length]).abs().neg();
        var actual = MambaRunner.Scan(x, b, c, decay);
        var state = zeros([size, dim]);
        for (var t = 0; t < length; t++)
        {
            state = state.mul(decay[0, 0, t].exp()).add(b[0, 0, t].unsqueeze(1).mm(x[0, 0, t].unsqueeze(0)));
            Assert.True(c[0, 0, t].unsqueeze(0).mm(state).squeeze(0).sub(actual[0, 0, t]).abs().max().item<float>() < 1e-4f);
        }
    }

    /// <summary>Stacked experts that are quantised are written as modules, and a quantised checkpoint is read by module.</summary>
    [Theory]
    [InlineData("gpt_oss")]
    [InlineData("gpt2")]
    [InlineData("llama4_text")]
    public void QuantisedModulesHaveNamesOfTheirOwn(string name)
    {
        using var scope = NewDisposeScope();
        using var tiny = TinyModel.Open(name);
        var graph = tiny.Graph.Layers[1];
        using var layer = tiny.Model.LoadLayer(1);
        var modules = graph.Linears.Where(l => l.KeepFloatReason is null).Select(l => l.Module).ToHashSet();
        var written = layer.Weights.StoredTensors(modules).ToDictionary(t => t.FullName, t => t.Value);
        Assert.DoesNotContain(written.Keys, n => modules.Contains(n[graph.Prefix.Length..].Replace(".weight", "")) && n.EndsWith(".weight", StringComparison.Ordinal));
        Assert.All(graph.Linears.Where(l => l.HasBias), l => Assert.Contains($"{graph.Prefix}{l.Module}.bias", written.Keys));

        // The same weights as a quantised checkpoint gives them: [out, in] under the modules' names.
        var source = new Written(tiny.Source, written, modules.ToDictionary(m => $"{graph.Prefix}{m}.weight", m => layer.Weights[$"{m}.weight"]));
        var shapes = tiny.Source.Shapes.Where(s => !graph.TensorNames.Contains(s.Key)).ToDictionary(s => s.Key, s => s.Value);
        foreach (var (full, shape) in source.Shapes)
            shapes[full] = shape;
        var config = Checkpoints.Config(name);
        var again = Repository.Catalog.Resolve(config, shapes, modules.Select(m => graph.Prefix + m).ToHashSet());
        using var model = DecoderModel.Open(again, source, CPU);
        using var reread = model.LoadLayer(1);
        var hidden = tiny.Float("hidden_states.1");
        Assert.True(reread.Forward(hidden).equal(layer.Forward(hidden)).all().item<bool>());
    }

    private static class Checkpoints
    {
        public static JsonObject Config(string name) =>
            Engine.Checkpoints.ModelConfig.Load(Path.Combine(TinyModel.Root, name, "config.json")).Root;
    }

    private sealed class Written(ITensorSource rest, Dictionary<string, Tensor> written, Dictionary<string, Tensor> modules) : ITensorSource
    {
        public IEnumerable<(string Name, long[] Shape)> Shapes => written.Concat(modules).Select(t => (t.Key, t.Value.shape));

        public bool Contains(string name) => written.ContainsKey(name) || modules.ContainsKey(name) || rest.Contains(name);

        public long[] Shape(string name) => written.GetValueOrDefault(name)?.shape ?? modules.GetValueOrDefault(name)?.shape ?? rest.Shape(name);

        public Tensor Read(string name, Device device) =>
            (written.GetValueOrDefault(name) ?? modules.GetValueOrDefault(name))?.clone() ?? rest.Read(name, device);
    }
}
