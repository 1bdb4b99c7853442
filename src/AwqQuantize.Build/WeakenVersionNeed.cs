using Microsoft.Build.Framework;
using Task = Microsoft.Build.Utilities.Task;

namespace AwqQuantize.Build;

/// <summary>
/// MSBuild task: copies a shared library and marks one of its version needs as weak in the copy, so that the library loads
/// where the system's libstdc++ is older and lacks nothing but that version's marker symbol.
/// </summary>
public sealed class WeakenVersionNeed : Task
{
    [Required]
    public required ITaskItem Source { get; set; }

    [Required]
    public required ITaskItem Destination { get; set; }

    /// <summary>E.g. <c>GLIBCXX_3.4.32</c>.</summary>
    [Required]
    public required string Version { get; set; }

    /// <summary>The symbols that only carry the version; the task fails if another one is bound to it.</summary>
    [Required]
    public required string[] MarkerSymbols { get; set; }

    public override bool Execute()
    {
        var source = Source.GetMetadata("FullPath");
        var destination = Destination.GetMetadata("FullPath");
        try
        {
            var image = File.ReadAllBytes(source);
            var changed = new ElfVersionNeeds(image).Weaken(Version, MarkerSymbols);
            Directory.CreateDirectory(Path.GetDirectoryName(destination)!);
            // A new file renamed into place: a process that has the old one mapped keeps it.
            var temporary = destination + ".new";
            File.WriteAllBytes(temporary, image);
            File.Move(temporary, destination, overwrite: true);
            Log.LogMessage(MessageImportance.Normal, "{0}: {1} need(s) of {2} made weak", destination, changed, Version);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException or OverflowException)
        {
            Log.LogError("WeakenVersionNeed: {0}: {1}", source, e.Message);
        }
        return !Log.HasLoggedErrors;
    }
}
