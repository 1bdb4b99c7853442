namespace AwqQuantize.Engine.Runs;

/// <summary>The folder that a run makes: nothing stands there before everything does.</summary>
public static class Destination
{
    /// <summary>Name inside the model's folder where none is given.</summary>
    public const string DefaultName = "AWQ-4bit";

    /// <summary>The same for the MaxQuality mode.</summary>
    public const string MaximumName = "AWQ-4bit-MAX";

    /// <summary>Full path of the destination.</summary>
    public static string Of(QuantizationOptions options) =>
        Path.TrimEndingDirectorySeparator(options.OutputPath ?? Path.Combine(options.ModelPath, options.MaxQuality ? MaximumName : DefaultName));

    /// <summary>
    /// Refuses a destination that exists and may not be replaced, or that would replace the source. With <c>-Resume</c> a folder
    /// that exists may be what the run would make: <see cref="FinishedRun"/> tells.
    /// </summary>
    /// <exception cref="AwqException"><c>DestinationExists</c>, <c>DestinationIsSource</c>.</exception>
    public static void Check(QuantizationOptions options)
    {
        var destination = Of(options);
        var source = Path.TrimEndingDirectorySeparator(options.ModelPath);
        if (destination == source || source.StartsWith(destination + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw new AwqException("DestinationIsSource", AwqErrorKind.InvalidArgument, $"The destination '{destination}' is, or holds, the source.", "Choose another folder with -OutputPath.");
        if (File.Exists(destination))
            throw new AwqException("DestinationExists", AwqErrorKind.AlreadyExists, $"The destination '{destination}' is a file.", "Choose another folder with -OutputPath.");
        if (!options.Force && !options.Resume && Directory.Exists(destination) && Directory.EnumerateFileSystemEntries(destination).Any())
            throw new AwqException("DestinationExists", AwqErrorKind.AlreadyExists, $"The destination '{destination}' exists already.", "Replace it with -Force, keep what the same command made with -Resume, or choose another with -OutputPath.");
    }

    /// <summary>Gives a finished folder the destination's name; what stood there goes only after the new one stands.</summary>
    public static void Place(string finished, string destination)
    {
        string? old = null;
        if (Directory.Exists(destination))
        {
            old = destination + ".replaced";
            if (Directory.Exists(old))
                Directory.Delete(old, recursive: true);
            Directory.Move(destination, old);
        }
        try
        {
            Directory.Move(finished, destination);
        }
        catch when (old is not null)
        {
            Directory.Move(old, destination);
            throw;
        }
        if (old is not null)
            Directory.Delete(old, recursive: true);
    }
}
