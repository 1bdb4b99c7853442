using System.Buffers.Binary;
using System.Text;

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
    private const int SectionHeaderSize = 64;
    private const int NeedSize = 16;
    private const int AuxiliarySize = 16;
    private const int SymbolSize = 24;

    private readonly byte[] image;
    private readonly List<Section> sections;

    /// <param name="image">The whole file.</param>
    /// <exception cref="InvalidDataException">Not a 64-bit little-endian ELF file, or one whose tables leave the file.</exception>
    public ElfVersionNeeds(byte[] image)
    {
        this.image = image;
        if (image.Length < 64 || !image.AsSpan(0, 4).SequenceEqual("\u007fELF"u8))
            throw new InvalidDataException("not an ELF file");
        if (image[4] != 2 || image[5] != 1)
            throw new InvalidDataException("not a 64-bit little-endian ELF file");
        sections = ReadSections();
    }

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
            BinaryPrimitives.WriteUInt16LittleEndian(Slice(entry.Offset + 4, 2, "version flags"), (ushort)(entry.Flags | FlagWeak));
            changed++;
        }
        return changed;
    }

    private List<Section> ReadSections()
    {
        var table = U64(0x28);
        int size = U16(0x3A), count = U16(0x3C);
        if (size != SectionHeaderSize || count == 0)
            throw new InvalidDataException($"no usable section table ({count} headers of {size} bytes)");
        var read = new List<Section>(count);
        for (var i = 0; i < count; i++)
        {
            var at = checked(table + i * SectionHeaderSize);
            Slice(at, SectionHeaderSize, "section table");
            read.Add(new Section(U32(at + 4), U64(at + 24), U64(at + 32), U32(at + 40), U32(at + 44)));
        }
        return read;
    }

    private IEnumerable<Entry> Entries()
    {
        foreach (var section in sections.Where(s => s.Type == SectionVersionNeeds))
        {
            var names = Linked(section);
            var need = section.Offset;
            for (var i = 0u; i < section.Info; i++)
            {
                Slice(need, NeedSize, "version needs");
                if (U16(need) != 1)
                    throw new InvalidDataException($"version needs of revision {U16(need)}, not 1");
                var auxiliary = need + U32(need + 8);
                for (var j = 0; j < U16(need + 2); j++)
                {
                    Slice(auxiliary, AuxiliarySize, "version needs");
                    yield return new Entry(auxiliary, U16(auxiliary + 4), U16(auxiliary + 6), Name(names, U32(auxiliary + 8)));
                    auxiliary += Step(U32(auxiliary + 12), isLast: j == U16(need + 2) - 1);
                }
                need += Step(U32(need + 12), isLast: i == section.Info - 1);
            }
        }
    }

    private static uint Step(uint next, bool isLast) =>
        next > 0 || isLast ? next : throw new InvalidDataException("the version needs end before their count");

    private List<string> SymbolsOf(ushort version)
    {
        var found = new List<string>();
        if (sections.Find(s => s.Type == SectionSymbolVersions) is not { } versions)
            return found;
        var symbols = Linked(versions);
        if (symbols.Type != SectionDynamicSymbols)
            throw new InvalidDataException("the symbol versions are not linked to the dynamic symbols");
        var names = Linked(symbols);
        for (var i = 0L; i < versions.Size / 2; i++)
        {
            Slice(versions.Offset + i * 2, 2, "symbol versions");
            Slice(symbols.Offset + i * SymbolSize, SymbolSize, "dynamic symbols");
            if ((U16(versions.Offset + i * 2) & 0x7fff) == version)
                found.Add(Name(names, U32(symbols.Offset + i * SymbolSize)));
        }
        return found;
    }

    private Section Linked(Section section) =>
        section.Link < sections.Count ? sections[(int)section.Link] : throw new InvalidDataException($"a section is linked to number {section.Link} of {sections.Count}");

    private string Name(Section strings, uint at)
    {
        if (at >= strings.Size)
            throw new InvalidDataException("a name lies outside its string table");
        var rest = Slice(strings.Offset + at, strings.Size - at, "string table");
        var end = rest.IndexOf((byte)0);
        return Encoding.ASCII.GetString(end < 0 ? throw new InvalidDataException("a name has no end") : rest[..end]);
    }

    private Span<byte> Slice(long offset, long length, string what) =>
        offset >= 0 && length >= 0 && offset <= image.Length - length
            ? image.AsSpan((int)offset, (int)length)
            : throw new InvalidDataException($"the {what} leave the file (offset {offset}, {image.Length} bytes)");

    private ushort U16(long at) => BinaryPrimitives.ReadUInt16LittleEndian(Slice(at, 2, "headers"));

    private uint U32(long at) => BinaryPrimitives.ReadUInt32LittleEndian(Slice(at, 4, "headers"));

    private long U64(long at) => BinaryPrimitives.ReadInt64LittleEndian(Slice(at, 8, "headers"));

    private sealed record Section(uint Type, long Offset, long Size, uint Link, uint Info);

    private sealed record Entry(long Offset, ushort Flags, ushort Index, string Name);
}
