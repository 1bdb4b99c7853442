using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Calibration;
using AwqQuantize.Engine.Compute;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

// Routed experts, one after another or one on each device: each has inputs, a Gram matrix and inner sites of its own.
public sealed partial class LayerQuantizer
{
    /// <summary>All experts behind a site: side by side, one on each device, where there are several, else one after another.</summary>
    private void Quantise(int block, IReadOnlyList<IReadOnlyList<LinearSpec>> experts, int channels, ExpertInputs inputs, CurvatureCopies all)
    {
        for (var done = 0; done < experts.Count;)
        {
            var shared = SideBySide(block, [.. experts.Skip(done).Take(all.Count)], channels, inputs, all);
            if (shared == 0)
                Quantise(block, experts[done], channels, inputs, all.On(0));
            done += Math.Max(1, shared);
        }
    }

    /// <summary>
    /// One expert on each device. Each is worked on by a quantiser of its own, on the device's copy of the layer; only when all are done
    /// are they taken over, in their order, so that memory may run out in between, and results do not depend on how many devices there are.
    /// </summary>
    /// <returns>How many were quantised; 0 where experts are worked on one after another.</returns>
    private int SideBySide(int block, IReadOnlyList<IReadOnlyList<LinearSpec>> experts, int channels, ExpertInputs inputs, CurvatureCopies all)
    {
        if (experts.Count < 2 || !inputs.CanBeShared || !layer.RunsExpertsAlone(block))
            return 0;
        var finished = batch.Guard("experts", hidden, () =>
        {
            // By now the layer may be on the host, or on one device alone.
            var members = Math.Min(all.Count, experts.Count);
            if (members < 2)
                return [];
            replicas.Prepare();
            all.Prepare(members);
            inputs.Hold([.. experts.Take(members).Select(e => e[0].Expert)]);
            try
            {
                return DeviceTeam.Share(members, member =>
                {
                    var own = new LayerQuantizer(replicas.On(member), hidden, settings, kept, batch.Within(), cancel, null, gradients);
                    own.Quantise(block, experts[member], channels, inputs, all.On(member));
                    return own;
                });
            }
            catch
            {
                replicas.Discard();
                throw;
            }
        });
        for (var member = 0; member < finished.Length; member++)
        {
            replicas.Collect(member);
            Take(finished[member]);
        }
        clock.AddLongest([.. finished.Select(f => f.clock)]);
        return finished.Length;
    }

    /// <summary>Takes over what another quantiser has done.</summary>
    private void Take(LayerQuantizer other)
    {
        foreach (var (module, linear) in other.quantized)
            quantized.Add(module, linear);
        linears.AddRange(other.linears);
        groups.AddRange(other.groups);
        warnings.AddRange(other.warnings);
        largest = Math.Max(largest, other.largest);
    }

    /// <summary>One routed expert, on the tokens that were sent to it, or on all where that is wanted.</summary>
    private void Quantise(int block, IReadOnlyList<LinearSpec> expert, int channels, ExpertInputs inputs, Curvature all)
    {
        using var scope = NewDisposeScope();
        var index = expert[0].Expert;
        var tokens = inputs.TokensOf(index);
        var first = expert.Where(l => l.In == channels && l.Site.EndsWith(".input")).ToList();
        if (tokens < SiteInputs.FewestTokens)
        {
            foreach (var linear in expert.Where(l => !kept.ContainsKey(l.Module)))
            {
                Keep(linear, LinearRounding.Plain(layer.Weights[linear.Module + ".weight"], settings.GroupSize, layer.Compute), 0, tokens);
                layer.Weights.Touch(linear.Module + ".weight");
            }
            warnings.Add($"Expert {index} saw {tokens} calibration tokens: rounded plainly.");
            return;
        }
        using (var own = settings.AllTokensToAllExperts ? null : Factor(Stage("statistics", () => StageMemory.Gram(channels), all, () => Blend(inputs, index, channels, all.H))))
            Round([.. first.Where(l => !kept.ContainsKey(l.Module))], own ?? all, tokens, null);
        foreach (var site in expert.Except(first).Select(l => l.Site).Distinct())
        {
            var readers = expert.Where(l => l.Site == site && !kept.ContainsKey(l.Module)).ToList();
            if (readers.Count == 0)
                continue;
            var (statistics, few) = Inside(block, index, site, readers[0].In, inputs);
            using var temporary = statistics;
            using var sample = few;
            largest = Math.Max(largest, statistics.Largest);
            var magnitude = statistics.MeanMagnitude();
            using var curvature = Factor(statistics);
            foreach (var group in layer.Graph.ScaleGroups.Where(g => g.Site == site))
                if (Scale(group, curvature, magnitude, null, few is null ? null : () => layer.RunExpert(block, index, few.to(layer.Device)), null) is { } columns)
                    curvature.Rescale(columns);
            Round(readers, curvature, tokens, null);
        }
    }

    /// <summary>What reaches a site within an expert, and some of the tokens that it came from.</summary>
    private (InputStatistics Statistics, Tensor? Few) Inside(int block, int expert, string site, int channels, ExpertInputs inputs)
    {
        // The heads of a mixture of attention experts attend side by side: only the whole block gives their outputs.
        if (!layer.RunsExpertsAlone(block))
            return (Gather(block, site, channels, keep: 0, withRouting: false, always: false).Statistics, null);
        return Stage("statistics", () => StageMemory.Gram(channels), null, () =>
        {
            var statistics = new InputStatistics(channels, layer.Compute, layer.Weights.ForwardType);
            Tensor? few = null;
            try
            {
                using var observer = new SiteObserver(site, statistics, keptTokens: 0, withRouting: false);
                inputs.Each(expert, part =>
                {
                    few ??= part.narrow(0, 0, Math.Min(SiteInputs.FewestTokens, part.shape[0])).clone().DetachFromDisposeScope();
                    observer.Run(o => layer.RunExpert(block, expert, part.to(layer.Device), o));
                });
                return (statistics, few);
            }
            catch
            {
                statistics.Dispose();
                few?.Dispose();
                throw;
            }
        });
    }

    /// <summary>An expert's own Gram matrix, mixed with that of all tokens where it has seen few.</summary>
    private Tensor Blend(ExpertInputs inputs, int expert, int channels, Tensor all)
    {
        using var statistics = new InputStatistics(channels, layer.Compute, layer.Weights.ForwardType);
        inputs.Each(expert, part => statistics.Add(part.to(layer.Device)));
        var own = statistics.TakeGram(layer.Compute);
        var trust = Math.Min(1, statistics.Tokens / (2.0 * statistics.Channels));
        return trust == 1 ? own : own.mul_(trust).add_(all, alpha: 1 - trust);
    }
}
