using AwqQuantize.Engine.Calibration;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>Calibration rows cut into pieces of one length: the first ones are held out, the others are tuned on in a shuffled order.</summary>
internal sealed class TuningRows
{
    private readonly List<int[]> rows;
    private readonly int perStep;

    private TuningRows(List<int[]> rows, int heldOut, int perStep) => (this.rows, HeldOut, this.perStep) = (rows, heldOut, perStep);

    /// <summary>All rows; those that are held out come first.</summary>
    public int Count => rows.Count;

    public int HeldOut { get; }

    /// <summary>Tokens per row.</summary>
    public int Length => rows[0].Length;

    public long HeldOutTokens => (long)HeldOut * Length;

    public long TrainingTokens => (long)(Count - HeldOut) * Length;

    public static TuningRows From(TokenRows calibration, TuningSettings settings)
    {
        var length = Math.Min(calibration.Length, settings.RowLength);
        // Equal pieces, so that nothing of a row is lost that is longer than a piece but no multiple of it.
        length = calibration.Length / ((calibration.Length + length - 1) / length);
        var pieces = calibration.Rows.SelectMany(r => Enumerable.Range(0, r.Length / length).Select(i => r[(i * length)..((i + 1) * length)])).ToList();
        var perStep = Math.Max(1, settings.TokensPerStep / length);
        var held = (int)Math.Clamp(settings.HeldOutOf((long)pieces.Count * length) / length, 1, Math.Max(1, pieces.Count - 1));
        // Held out evenly over the data; of the rest no more than the steps can look at.
        var isHeld = Enumerable.Range(0, held).Select(i => (int)((2L * i + 1) * pieces.Count / (2 * held))).ToHashSet();
        var rest = Enumerable.Range(0, pieces.Count).Where(i => !isHeld.Contains(i)).ToList();
        var most = Math.Max(1, Math.Min(rest.Count, settings.Steps * perStep));
        var chosen = rest.Count == 0 ? isHeld.Order() : Enumerable.Range(0, most).Select(i => rest[(int)((long)i * rest.Count / most)]);
        return new TuningRows([.. isHeld.Order().Concat(chosen).Select(i => pieces[i])], held, perStep);
    }

    /// <summary>Token ids of some rows, [count, length].</summary>
    public Tensor Ids(int from, int count) => Ids(Enumerable.Range(from, count));

    /// <summary>The rows whose turn it is: every pass over the data has an order of its own.</summary>
    /// <param name="step">From 1 on.</param>
    public (Tensor Ids, IReadOnlyList<int> Rows) Batch(int step)
    {
        var training = Count - HeldOut;
        var chosen = new List<int>();
        for (var i = (long)(step - 1) * perStep; i < (long)step * perStep; i++)
        {
            var order = Enumerable.Range(HeldOut, training).ToArray();
            new Random((int)(i / training)).Shuffle(order);
            chosen.Add(order[i % training]);
        }
        return (Ids(chosen), chosen);
    }

    private Tensor Ids(IEnumerable<int> which)
    {
        var chosen = which.ToList();
        return tensor([.. chosen.SelectMany(r => rows[r]).Select(i => (long)i)], [chosen.Count, Length]);
    }
}
