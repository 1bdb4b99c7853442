using System.Buffers.Binary;

namespace AwqQuantize.Build;

/// <summary>The libraries that a 64-bit little-endian ELF library needs (section <c>.dynamic</c>, System V gABI). The image is changed in place.</summary>
/// <param name="image">The whole file.</param>
/// <exception cref="InvalidDataException">Not a 64-bit little-endian ELF file, or one whose tables leave the file.</exception>
public sealed class ElfLibraryNeeds(byte[] image)
{
    private const uint SectionDynamic = 6;
    private const long TagNeeded = 1;
    private const int EntrySize = 16;

    private readonly ElfImage image = new(image);

    /// <summary>Names in the order in which they are looked for.</summary>
    public IReadOnlyList<string> Names => [.. Entries().Select(e => e.Name)];

    /// <summary>Lets one library be needed in the place of another, which is needed already: there is no room for a shorter list.</summary>
    /// <returns>How many entries were changed: 0 where <paramref name="library"/> is not needed.</returns>
    /// <exception cref="InvalidDataException"><paramref name="instead"/> is not needed so far.</exception>
    public int Replace(string library, string instead)
    {
        var entries = Entries().ToList();
        var changed = entries.Where(e => e.Name == library).ToList();
        if (changed.Count == 0)
            return 0;
        var other = entries.Find(e => e.Name == instead) ?? throw new InvalidDataException($"'{instead}' is not needed, so it cannot take the place of '{library}'");
        foreach (var entry in changed)
            BinaryPrimitives.WriteInt64LittleEndian(image.Slice(entry.Offset + 8, 8, "dynamic section"), other.Value);
        return changed.Count;
    }

    private IEnumerable<Entry> Entries()
    {
        foreach (var section in image.Sections.Where(s => s.Type == SectionDynamic))
        {
            var names = image.Linked(section);
            for (var at = section.Offset; at < section.Offset + section.Size; at += EntrySize)
            {
                image.Slice(at, EntrySize, "dynamic section");
                if (image.U64(at) == TagNeeded)
                    yield return new Entry(at, image.U64(at + 8), image.Name(names, checked((uint)image.U64(at + 8))));
            }
        }
    }

    private sealed record Entry(long Offset, long Value, string Name);
}
