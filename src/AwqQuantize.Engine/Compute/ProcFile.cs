namespace AwqQuantize.Engine.Compute;

/// <summary>Linux's files of "key : value" lines.</summary>
internal static class ProcFile
{
    /// <summary>The first value of a key; null where there is no such file or key.</summary>
    public static string? Field(string file, string key) =>
        File.Exists(file) ? File.ReadLines(file).FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal))?.Split(':', 2)[1].Trim() : null;
}
