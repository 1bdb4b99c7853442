using System.Buffers.Binary;
using System.Text;

namespace AwqQuantize.Engine.Tests.Checkpoints;

/// <summary>Safetensors files put together by hand, so that the tests do not depend on our writer.</summary>
internal static class SafetensorsBytes
{
    public static byte[] Make(string header, int dataLength) => Make(Encoding.UTF8.GetBytes(header), new byte[dataLength]);

    public static byte[] Make(byte[] header, byte[] data)
    {
        var bytes = new byte[8 + header.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)header.Length);
        header.CopyTo(bytes, 8);
        data.CopyTo(bytes, 8 + header.Length);
        return bytes;
    }

    /// <summary>A file with one tensor.</summary>
    public static byte[] Tensor(string name, string dtype, string shape, byte[] data) =>
        Make(Encoding.UTF8.GetBytes("{\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[0," + data.Length + "]}}"), data);
}
