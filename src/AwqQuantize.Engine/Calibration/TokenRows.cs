using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace AwqQuantize.Engine.Calibration;

/// <summary>
/// Calibration tokens in rows of one length. Documents are joined by the separator and cut, so that none is dropped for being
/// short or long.
/// </summary>
public sealed class TokenRows
{
    private TokenRows(int[][] rows, int length, long available)
    {
        (Rows, Length, Available) = (rows, length, available);
    }

    /// <summary>The rows, each <see cref="Length"/> ids long.</summary>
    public IReadOnlyList<int[]> Rows { get; }

    public int Length { get; }

    /// <summary>How many tokens the data had.</summary>
    public long Available { get; }

    public long Tokens => (long)Rows.Count * Length;

    /// <summary>Joins documents and cuts them into rows.</summary>
    /// <param name="documents">Token ids of each document, in order.</param>
    /// <param name="separator">Put between documents; null for nothing.</param>
    /// <param name="length">Tokens per row; shortened to what there is.</param>
    /// <param name="most">How many rows at most; they are taken evenly spread over the data, in order.</param>
    /// <param name="seed">Every seed takes other rows, where there are more than wanted.</param>
    /// <exception cref="AwqException"><c>CalibrationDataEmpty</c>: not even one token.</exception>
    public static TokenRows From(IEnumerable<IReadOnlyList<int>> documents, int? separator, int length, int most, int seed = 0)
    {
        var all = new List<int>();
        foreach (var document in documents)
        {
            if (document.Count == 0)
                continue;
            if (all.Count > 0 && separator is { } id && all[^1] != id)
                all.Add(id);
            all.AddRange(document);
        }
        if (all.Count < 2)
            throw new AwqException("CalibrationDataEmpty", AwqErrorKind.InvalidData,
                "The calibration data has no text in it.", "Give text, JSON lines, Parquet or token ids with -CalibrationData.");
        length = Math.Min(length, all.Count);
        var available = all.Count / length;
        var count = Math.Min(available, most);
        var rows = new int[count][];
        // A shift by whole rows keeps them evenly spread.
        var shift = (int)((uint)seed % (uint)available);
        for (var i = 0; i < count; i++)
            rows[i] = all.GetRange((int)(((long)available * i / count + shift) % available) * length, length).ToArray();
        return new TokenRows(rows, length, all.Count);
    }

    /// <summary>A hash of the rows, to recognise the data of a run that is taken up again.</summary>
    public string Fingerprint()
    {
        var hash = new XxHash128();
        foreach (var row in Rows)
            hash.Append(MemoryMarshal.AsBytes(row.AsSpan()));
        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }
}
