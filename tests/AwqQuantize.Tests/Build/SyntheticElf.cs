using System.Text;

namespace AwqQuantize.Tests.Build;

/// <summary>Writes the smallest ELF image that has symbol versions, from the tables of the System V gABI.</summary>
internal sealed class SyntheticElf
{
    private readonly MemoryStream strings = new();
    private readonly List<(string Symbol, ushort Version)> symbols = [];
    private readonly List<(string File, (string Name, ushort Flags, ushort Index)[] Versions)> needs = [];
    private readonly List<string> libraries = [];

    public SyntheticElf() => strings.WriteByte(0);

    public SyntheticElf Needs(string file, params (string Name, ushort Flags, ushort Index)[] versions)
    {
        needs.Add((file, versions));
        return this;
    }

    public SyntheticElf Symbol(string name, ushort version)
    {
        symbols.Add((name, version));
        return this;
    }

    public SyntheticElf Library(string name)
    {
        libraries.Add(name);
        return this;
    }

    public byte[] Write()
    {
        var dynamic = new MemoryStream();
        foreach (var library in libraries)
            Put(dynamic, 1UL, (ulong)Name(library));
        Put(dynamic, 14UL, (ulong)Name("libown.so"), 0UL, 0UL);
        var dynamicSymbols = new MemoryStream();
        var versions = new MemoryStream();
        foreach (var (name, version) in symbols)
        {
            Put(dynamicSymbols, (uint)Name(name), 0u, 0UL, 0UL);
            Put(versions, version);
        }
        var verneed = new MemoryStream();
        for (var i = 0; i < needs.Count; i++)
        {
            var (file, entries) = needs[i];
            Put(verneed, (ushort)1, (ushort)entries.Length, (uint)Name(file), 16u, i == needs.Count - 1 ? 0u : (uint)(16 + 16 * entries.Length));
            for (var j = 0; j < entries.Length; j++)
                Put(verneed, 0u, entries[j].Flags, entries[j].Index, (uint)Name(entries[j].Name), j == entries.Length - 1 ? 0u : 16u);
        }
        var parts = new[] { strings.ToArray(), dynamicSymbols.ToArray(), versions.ToArray(), verneed.ToArray(), dynamic.ToArray() };
        uint[] types = [3, 11, 0x6fffffff, 0x6ffffffe, 6], links = [0, 1, 2, 1, 1], infos = [0, 0, 0, (uint)needs.Count, 0];
        var image = new MemoryStream();
        image.Write([0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        var table = 64L + parts.Sum(p => p.Length);
        Put(image, (ushort)3, (ushort)62, 1u, 0UL, 0UL, (ulong)table, 0u, (ushort)64, (ushort)0, (ushort)0, (ushort)64, (ushort)(parts.Length + 1), (ushort)0);
        foreach (var part in parts)
            image.Write(part);
        image.Write(new byte[64]);
        var offset = 64UL;
        for (var i = 0; i < parts.Length; i++)
        {
            Put(image, 0u, types[i], 0UL, 0UL, offset, (ulong)parts[i].Length, links[i], infos[i], 0UL, 0UL);
            offset += (ulong)parts[i].Length;
        }
        return image.ToArray();
    }

    private long Name(string name)
    {
        var at = strings.Length;
        strings.Write(Encoding.ASCII.GetBytes(name + '\0'));
        return at;
    }

    private static void Put(MemoryStream to, params object[] values)
    {
        foreach (var value in values)
            to.Write(value switch
            {
                ushort v => BitConverter.GetBytes(v),
                uint v => BitConverter.GetBytes(v),
                ulong v => BitConverter.GetBytes(v),
                _ => throw new ArgumentException($"no {value.GetType()} in an ELF file"),
            });
    }
}
