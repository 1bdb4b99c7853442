using System.Buffers.Binary;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tests.Packing;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>
/// Rewrites a checkpoint in the AWQ GEMM format as llm-compressor would have exported the very same weights. Written from the
/// format's description: a word holds eight signed values plus 8, the first in its lowest bits; weights are packed along their
/// inputs, zero points along the outputs.
/// </summary>
internal static class CompressedExport
{
    public static void Rewrite(Surgery copy, int group, bool packedZeros = true)
    {
        copy.Tensors(tensors =>
        {
            foreach (var module in tensors.Keys.Where(k => k.EndsWith(".qweight", StringComparison.Ordinal)).Select(k => k[..^8]).ToList())
            {
                var (codes, zeros, scales) = (tensors[module + ".qweight"], tensors[module + ".qzeros"], tensors[module + ".scales"]);
                var (inputs, outputs) = ((int)codes.Shape[0], 8 * (int)codes.Shape[1]);
                var groups = inputs / group;
                // [in, out] and [groups, out] of the one format become [out, in] and [out, groups] of the other.
                var q = ReferenceUnpacker.Unpack(Words(codes.Data), inputs, outputs / 8);
                var z = ReferenceUnpacker.Unpack(Words(zeros.Data), groups, outputs / 8);
                var scale = new byte[scales.Data.Length];
                for (var o = 0; o < outputs; o++)
                    for (var g = 0; g < groups; g++)
                        scales.Data.AsSpan(2 * (g * outputs + o), 2).CopyTo(scale.AsSpan(2 * (o * groups + g)));
                foreach (var part in (string[])[".qweight", ".qzeros", ".scales"])
                    tensors.Remove(module + part);
                tensors[module + ".weight_packed"] = new Surgery.Part("I32", [outputs, inputs / 8], Pack(outputs, inputs / 8, (o, w, i) => q[8 * w + i, o]));
                tensors[module + ".weight_scale"] = new Surgery.Part("F16", [outputs, groups], scale);
                tensors[module + ".weight_zero_point"] = packedZeros
                    ? new Surgery.Part("I32", [outputs / 8, groups], Pack(outputs / 8, groups, (w, g, i) => z[g, 8 * w + i]))
                    : new Surgery.Part("I8", [outputs, groups], [.. Enumerable.Range(0, outputs * groups).Select(i => (byte)(sbyte)(z[i % groups, i / groups] - 8))]);
                var shape = new byte[16];
                BinaryPrimitives.WriteInt64LittleEndian(shape, outputs);
                BinaryPrimitives.WriteInt64LittleEndian(shape.AsSpan(8), inputs);
                tensors[module + ".weight_shape"] = new Surgery.Part("I64", [2], shape);
            }
        });
        copy.Json("config.json", c => c["quantization_config"] = Config(group));
    }

    /// <summary>As llm-compressor writes it for the scheme W4A16_ASYM.</summary>
    public static JsonObject Config(int group) => JsonNode.Parse($$"""
        {
          "config_groups": { "group_0": {
            "format": "pack-quantized", "input_activations": null, "output_activations": null, "targets": ["Linear"],
            "weights": { "actorder": null, "block_structure": null, "dynamic": false, "group_size": {{group}}, "num_bits": 4, "observer": "minmax",
              "observer_kwargs": {}, "strategy": "group", "symmetric": false, "type": "int" } } },
          "format": "pack-quantized", "global_compression_ratio": null, "ignore": ["lm_head"], "kv_cache_scheme": null,
          "quant_method": "compressed-tensors", "quantization_status": "compressed", "sparsity_config": {}, "transform_config": {}, "version": "0.12.2"
        }
        """)!.AsObject();

    private static byte[] Pack(int rows, int columns, Func<int, int, int, int> value)
    {
        var bytes = new byte[4 * rows * columns];
        for (var r = 0; r < rows; r++)
        {
            for (var c = 0; c < columns; c++)
            {
                var word = 0u;
                for (var i = 0; i < 8; i++)
                    word += (uint)value(r, c, i) << (4 * i);
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4 * (r * columns + c)), word);
            }
        }
        return bytes;
    }

    private static int[] Words(byte[] data) => [.. data.Chunk(4).Select(c => BinaryPrimitives.ReadInt32LittleEndian(c))];
}
