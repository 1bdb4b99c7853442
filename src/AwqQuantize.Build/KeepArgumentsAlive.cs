using System.Buffers.Binary;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;
using Microsoft.Build.Framework;
using static System.Diagnostics.DebuggableAttribute;
using Task = Microsoft.Build.Utilities.Task;

namespace AwqQuantize.Build;

/// <summary>
/// MSBuild task: copies an assembly and turns the just-in-time compiler's optimisation off in the copy, so that every argument lives
/// until its method returns. TorchSharp hands the native handles of its scalars over without keeping the scalars alive; in optimised
/// code a garbage collection in that moment frees what the native side is reading.
/// </summary>
public sealed class KeepArgumentsAlive : Task
{
    private const string Attribute = "System.Diagnostics.DebuggableAttribute";

    [Required]
    public required ITaskItem Source { get; set; }

    [Required]
    public required ITaskItem Destination { get; set; }

    public override bool Execute()
    {
        var (source, destination) = (Source.GetMetadata("FullPath"), Destination.GetMetadata("FullPath"));
        try
        {
            var image = File.ReadAllBytes(source);
            Patch(image);
            Directory.CreateDirectory(Path.GetDirectoryName(destination)!);
            var temporary = destination + ".new";
            File.WriteAllBytes(temporary, image);
            File.Move(temporary, destination, overwrite: true);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or BadImageFormatException or UnauthorizedAccessException)
        {
            Log.LogError("KeepArgumentsAlive: {0}: {1}", source, e.Message);
        }
        return !Log.HasLoggedErrors;
    }

    /// <summary>Overwrites the argument of an assembly's <c>DebuggableAttribute</c>.</summary>
    /// <exception cref="InvalidDataException">It has none with one argument.</exception>
    public static void Patch(byte[] image)
    {
        using var file = new PEReader(new MemoryStream(image));
        var metadata = file.GetMetadataReader();
        foreach (var handle in metadata.GetAssemblyDefinition().GetCustomAttributes())
        {
            var attribute = metadata.GetCustomAttribute(handle);
            if (NameOf(metadata, attribute) != Attribute)
                continue;
            var value = metadata.GetBlobReader(attribute.Value);
            // ECMA-335 II.23.3: a prolog of 1, the argument (an int32 enumeration), the number of named arguments.
            if (value.Length != 8)
                continue;
            const DebuggingModes Modes = DebuggingModes.Default | DebuggingModes.DisableOptimizations | DebuggingModes.IgnoreSymbolStoreSequencePoints;
            var offset = file.PEHeaders.MetadataStartOffset + metadata.GetHeapMetadataOffset(HeapIndex.Blob)
                + metadata.GetHeapOffset(attribute.Value) + 1; // one byte of length before so short a blob
            BinaryPrimitives.WriteInt32LittleEndian(image.AsSpan(offset + 2), (int)Modes);
            return;
        }
        throw new InvalidDataException($"it has no {Attribute} that could be changed");
    }

    private static string NameOf(MetadataReader metadata, CustomAttribute attribute)
    {
        if (attribute.Constructor.Kind != HandleKind.MemberReference
            || metadata.GetMemberReference((MemberReferenceHandle)attribute.Constructor).Parent is not { Kind: HandleKind.TypeReference } parent)
            return "";
        var type = metadata.GetTypeReference((TypeReferenceHandle)parent);
        return $"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)}";
    }
}
