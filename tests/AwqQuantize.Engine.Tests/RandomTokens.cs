using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Tests;

/// <summary>Random token ids to calibrate with.</summary>
internal static class RandomTokens
{
    /// <summary>Writes them as <c>-CalibrationData</c> takes them.</summary>
    /// <param name="file">Where to; also returned.</param>
    /// <param name="vocabulary">Ids are below this.</param>
    public static string Write(string file, int seed, int vocabulary, int rows, int length)
    {
        var random = new Random(seed);
        PartFile.Write(file, [TensorPayload.From("ids", TensorDtype.I64, [rows, length], Enumerable.Range(0, rows * length).Select(_ => (long)random.Next(vocabulary)).ToArray())]);
        return file;
    }
}
