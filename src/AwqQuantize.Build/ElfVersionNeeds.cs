using System.Buffers.Binary;

namespace AwqQuantize.Build;

/// <summary>
/// The symbol versions that a 64-bit little-endian ELF library needs of others (section <c>.gnu.version_r</c>; System V
/// gABI and the Linux Standard Base's "Symbol Versioning"). The image is changed in place.
/// </summary>
public sealed class ElfVersionNeeds
{
    private const uint SectionDynamicSymbols = 11;
    private const uint SectionVersionNeeds = 0x6ffffffe;
    private const uint SectionSymbolVersions = 0x6fffffff;
    private const ushort FlagWeak = 2;
    private const int NeedSize = 16;
    private const int AuxiliarySize = 16;
    private const int SymbolSize = 24;

    private readonly ElfImage image;

    /// <param name="image">The whole file.</param>
    /// <exception cref="InvalidDataException">Not a 64-bit little-endian ELF file, or one whose tables leave the file.</exception>
    public ElfVersionNeeds(byte[] image) => this.image = new ElfImage(image);

    /// <summary>One entry per needed version: its name, whether it is weak, and the symbols bound to it.</summary>
    public IReadOnlyList<ElfVersionNeed> Needs => [.. Entries().Select(e => new ElfVersionNeed(e.Name, (e.Flags & FlagWeak) != 0, SymbolsOf(e.Index)))];

    /// <summary>
    /// Marks the needs named <paramref name="version"/> as weak: a loader that does not find the version then warns nobody
    /// and goes on. Safe only where no code reaches a symbol of that version, so every symbol bound to it must be one of
    /// <paramref name="markers"/>: symbols that are referenced only to carry the version.
    /// </summary>
    /// <returns>How many entries were changed: 0 when none has that name or all are weak already.</returns>
    /// <exception cref="InvalidDataException">A symbol that is no marker is bound to the version.</exception>
    public int Weaken(string version, IReadOnlyCollection<string> markers)
    {
        var changed = 0;
        foreach (var entry in Entries().Where(e => e.Name == version))
        {
            var others = SymbolsOf(entry.Index).Where(s => !markers.Contains(s)).ToList();
            if (others.Count > 0)
                throw new InvalidDataException($"version {version} is needed by '{others[0]}', which the library may call; it cannot be made weak");
            if ((entry.Flags & FlagWeak) != 0)
                continue;
            BinaryPrimitives.WriteUInt16LittleEndian(image.Slice(entry.Offset + 4, 2, "version flags"), (ushort)(entry.Flags | FlagWeak));
            changed++;
        }
        return changed;
    }

    private IEnumerable<Entry> Entries()
    {
        foreach (var section in image.Sections.Where(s => s.Type == SectionVersionNeeds))
        {
            var names = image.Linked(section);
            var need = section.Offset;
            for (var i = 0u; i < section.Info; i++)
            {
                image.Slice(need, NeedSize, "version needs");
                if (image.U16(need) != 1)
                    throw new InvalidDataException($"version needs of revision {image.U16(need)}, not 1");
                var auxiliary = need + image.U32(need + 8);
                for (var j = 0; j < image.U16(need + 2); j++)
                {
                    image.Slice(auxiliary, AuxiliarySize, "version needs");
                    yield return new Entry(auxiliary, image.U16(auxiliary + 4), image.U16(auxiliary + 6), image.Name(names, image.U32(auxiliary + 8)));
                    auxiliary += Step(image.U32(auxiliary + 12), isLast: j == image.U16(need + 2) - 1);
                }
                need += Step(image.U32(need + 12), isLast: i == section.Info - 1);
            }
        }
    }

    private static uint Step(uint next, bool isLast) =>
        next > 0 || isLast ? next : throw new InvalidDataException("the version needs end before their count");

    private List<string> SymbolsOf(ushort version)
    {
        var found = new List<string>();
        if (image.Sections.Find(s => s.Type == SectionSymbolVersions) is not { } versions)
            return found;
        var symbols = image.Linked(versions);
        if (symbols.Type != SectionDynamicSymbols)
            throw new InvalidDataException("the symbol versions are not linked to the dynamic symbols");
        var names = image.Linked(symbols);
        for (var i = 0L; i < versions.Size / 2; i++)
        {
            image.Slice(versions.Offset + i * 2, 2, "symbol versions");
            image.Slice(symbols.Offset + i * SymbolSize, SymbolSize, "dynamic symbols");
            if ((image.U16(versions.Offset + i * 2) & 0x7fff) == version)
                found.Add(image.Name(names, image.U32(symbols.Offset + i * SymbolSize)));
        }
        return found;
    }

    private sealed record Entry(long Offset, ushort Flags, ushort Index, string Name);
}
