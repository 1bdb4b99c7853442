using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Awq;

/// <summary>
/// What reaches the routed experts behind a site, expert by expert. Where all of it was kept it is chosen from that; where it was too
/// much, it is made anew from the hidden states, for as many experts at a time as the budget allows, so that neither the number of
/// experts nor that of tokens decides how much memory is taken.
/// </summary>
/// <param name="site">Who got which token, and the inputs themselves, if they are kept.</param>
/// <param name="everyToken">Every expert gets all tokens.</param>
/// <param name="order">The experts in the order in which they are asked for.</param>
/// <param name="budget">Bytes that may be held; one expert's inputs are held in any case.</param>
/// <param name="replay">Makes the inputs anew: calls with the first token's index and [tokens, channels], part by part.</param>
/// <param name="atOnce">Most tokens that are given at once: what an expert makes of them is several times as much.</param>
internal sealed class ExpertInputs(SiteInputs site, bool everyToken, IReadOnlyList<int> order, long budget, Action<Action<long, Tensor>> replay, long atOnce = long.MaxValue) : IDisposable
{
    private readonly Dictionary<int, List<Tensor>> held = [];

    /// <summary>How many tokens an expert gets.</summary>
    public long TokensOf(int expert) => everyToken ? site.Statistics.Tokens : site.TokensOf(expert).Count;

    /// <summary>Whether several threads may ask at once, each for an expert whose inputs are held (see <see cref="Hold"/>).</summary>
    public bool CanBeShared => !everyToken || site.AreKept;

    /// <summary>Gives an expert's inputs, in parts of [tokens, channels] that belong to this object.</summary>
    public void Each(int expert, Action<Tensor> use)
    {
        if (everyToken && !site.AreKept)
        {
            replay((_, part) => Give(part));
            return;
        }
        if (!everyToken && !held.ContainsKey(expert))
            Hold([expert]);
        foreach (var part in everyToken ? site.All : held[expert])
            Give(part);

        void Give(Tensor part)
        {
            if (part.shape[0] <= atOnce)
            {
                use(part);
                return;
            }
            for (var from = 0L; from < part.shape[0]; from += atOnce)
            {
                using var piece = part.narrow(0, from, Math.Min(atOnce, part.shape[0] - from));
                use(piece);
            }
        }
    }

    /// <summary>Has the inputs of some experts here.</summary>
    /// <param name="experts">Neighbours in the order in which they are asked for.</param>
    public void Hold(IReadOnlyList<int> experts)
    {
        if (everyToken || experts.All(held.ContainsKey))
            return;
        Release();
        try
        {
            if (site.AreKept)
                foreach (var expert in experts)
                    held[expert] = [site.Of(expert).DetachFromDisposeScope()];
            else
                Make(experts);
        }
        catch
        {
            Release(); // half of an expert's inputs would pass for all of them
            throw;
        }
    }

    /// <summary>Makes the inputs of some experts anew, and of as many after them as the budget allows.</summary>
    private void Make(IReadOnlyList<int> experts)
    {
        var bytes = 0L;
        foreach (var expert in order.SkipWhile(e => e != experts[0]))
        {
            bytes += sizeof(float) * (long)site.Statistics.Channels * site.TokensOf(expert).Count;
            if (!experts.Contains(expert) && bytes > budget)
                break;
            held[expert] = [];
        }
        // A place for each beforehand: as many small pieces, joined afterwards, would take twice the memory and leave holes in the heap.
        var used = held.Keys.ToDictionary(e => e, _ => 0L);
        replay((start, part) =>
        {
            foreach (var (expert, parts) in held)
            {
                using var own = site.Select(expert, start, part);
                if (own is null)
                    continue;
                if (parts.Count == 0)
                    parts.Add(empty(site.TokensOf(expert).Count, own.shape[1], own.dtype, own.device).DetachFromDisposeScope());
                using var place = parts[0].narrow(0, used[expert], own.shape[0]);
                place.copy_(own);
                used[expert] += own.shape[0];
            }
        });
        // Rows that have become shorter in between give less.
        foreach (var (expert, parts) in held)
            if (parts.Count > 0 && used[expert] < parts[0].shape[0])
            {
                using var whole = parts[0];
                parts[0] = whole.narrow(0, 0, used[expert]).DetachFromDisposeScope();
            }
    }

    private void Release()
    {
        foreach (var part in held.Values.SelectMany(p => p))
            part.Dispose();
        held.Clear();
    }

    public void Dispose() => Release();
}
