namespace AwqQuantize.Engine.Checkpoints;

/// <summary>Small files that are there completely or not at all, whatever happens while they are written.</summary>
public static class AtomicFile
{
    /// <summary>Writes UTF-8 without a byte-order mark under a temporary name, flushes it to the disk and renames it.</summary>
    /// <exception cref="AwqException">The file cannot be written.</exception>
    public static void WriteText(string path, string text)
    {
        var temporary = path + ".tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                stream.Write(System.Text.Encoding.UTF8.GetBytes(text));
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw FileErrors.OnWrite(e, path);
        }
    }
}
