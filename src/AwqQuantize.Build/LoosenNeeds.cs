using Microsoft.Build.Framework;
using Task = Microsoft.Build.Utilities.Task;

namespace AwqQuantize.Build;

/// <summary>
/// MSBuild task: copies a shared library and asks for less in the copy. One of its version needs becomes weak, so that it loads
/// where the system's libstdc++ is older and lacks nothing but that version's marker symbol; and one library that it takes nothing
/// from is not loaded on its account.
/// </summary>
public sealed class LoosenNeeds : Task
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

    /// <summary>The library that is not to be loaded any more, e.g. <c>libtorch.so</c>: it is empty but for what it needs itself.</summary>
    [Required]
    public required string Library { get; set; }

    /// <summary>One that is needed anyway and takes its entry.</summary>
    [Required]
    public required string Instead { get; set; }

    public override bool Execute()
    {
        var source = Source.GetMetadata("FullPath");
        var destination = Destination.GetMetadata("FullPath");
        try
        {
            var image = File.ReadAllBytes(source);
            var changed = new ElfVersionNeeds(image).Weaken(Version, MarkerSymbols);
            var replaced = new ElfLibraryNeeds(image).Replace(Library, Instead);
            Directory.CreateDirectory(Path.GetDirectoryName(destination)!);
            // A new file renamed into place: a process that has the old one mapped keeps it.
            var temporary = destination + ".new";
            File.WriteAllBytes(temporary, image);
            File.Move(temporary, destination, overwrite: true);
            Log.LogMessage(MessageImportance.Normal, "{0}: {1} need(s) of {2} made weak, {3} of {4} dropped", destination, changed, Version, replaced, Library);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException or OverflowException)
        {
            Log.LogError("LoosenNeeds: {0}: {1}", source, e.Message);
        }
        return !Log.HasLoggedErrors;
    }
}
