using System.Buffers.Binary;
using System.Text;

namespace AwqQuantize.Build;

/// <summary>A 64-bit little-endian ELF file in memory: its sections, read with every offset checked (System V gABI).</summary>
internal sealed class ElfImage
{
    private const int SectionHeaderSize = 64;

    private readonly byte[] image;

    /// <param name="image">The whole file; what is changed through <see cref="Slice"/> is changed there.</param>
    /// <exception cref="InvalidDataException">Not a 64-bit little-endian ELF file, or one whose tables leave the file.</exception>
    public ElfImage(byte[] image)
    {
        this.image = image;
        if (image.Length < 64 || !image.AsSpan(0, 4).SequenceEqual("\u007fELF"u8))
            throw new InvalidDataException("not an ELF file");
        if (image[4] != 2 || image[5] != 1)
            throw new InvalidDataException("not a 64-bit little-endian ELF file");
        Sections = ReadSections();
    }

    public List<Section> Sections { get; }

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

    public Section Linked(Section section) =>
        section.Link < Sections.Count ? Sections[(int)section.Link] : throw new InvalidDataException($"a section is linked to number {section.Link} of {Sections.Count}");

    public string Name(Section strings, uint at)
    {
        if (at >= strings.Size)
            throw new InvalidDataException("a name lies outside its string table");
        var rest = Slice(strings.Offset + at, strings.Size - at, "string table");
        var end = rest.IndexOf((byte)0);
        return Encoding.ASCII.GetString(end < 0 ? throw new InvalidDataException("a name has no end") : rest[..end]);
    }

    public Span<byte> Slice(long offset, long length, string what) =>
        offset >= 0 && length >= 0 && offset <= image.Length - length
            ? image.AsSpan((int)offset, (int)length)
            : throw new InvalidDataException($"the {what} leave the file (offset {offset}, {image.Length} bytes)");

    public ushort U16(long at) => BinaryPrimitives.ReadUInt16LittleEndian(Slice(at, 2, "headers"));

    public uint U32(long at) => BinaryPrimitives.ReadUInt32LittleEndian(Slice(at, 4, "headers"));

    public long U64(long at) => BinaryPrimitives.ReadInt64LittleEndian(Slice(at, 8, "headers"));

    public sealed record Section(uint Type, long Offset, long Size, uint Link, uint Info);
}
