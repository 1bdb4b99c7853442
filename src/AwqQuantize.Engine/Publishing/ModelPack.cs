using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace AwqQuantize.Engine.Publishing;

/// <summary>
/// The CNCF ModelPack form of a checkpoint in a registry: a manifest with one layer per file, each as it is. Contains no
/// times, so that the same checkpoint has the same digest.
/// </summary>
internal static class ModelPack
{
    public const string ManifestType = "application/vnd.oci.image.manifest.v1+json";
    public const string ArtifactType = "application/vnd.cncf.model.manifest.v1+json";
    public const string ConfigType = "application/vnd.cncf.model.config.v1+json";

    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="files">Layers, in this order.</param>
    /// <param name="modelType">The family, from config.json.</param>
    public static byte[] Config(IReadOnlyList<PublishedFile> files, string name, string? modelType, string? quantization, string? license)
    {
        var descriptor = new JsonObject { ["name"] = name };
        if (modelType is not null)
            descriptor["family"] = modelType;
        if (license is not null)
            descriptor["licenses"] = new JsonArray(license);
        var config = new JsonObject { ["architecture"] = "transformer", ["format"] = "safetensors", ["precision"] = "fp16" };
        if (quantization is not null)
            config["quantization"] = quantization;
        var root = new JsonObject
        {
            ["descriptor"] = descriptor,
            ["config"] = config,
            ["modelfs"] = new JsonObject { ["type"] = "layers", ["diffIds"] = new JsonArray([.. files.Select(f => (JsonNode)("sha256:" + f.Sha256))]) },
        };
        return Encoding.UTF8.GetBytes(root.ToJsonString(Compact));
    }

    public static byte[] Manifest(IReadOnlyList<PublishedFile> files, PublishedFile config)
    {
        var root = new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = ManifestType,
            ["artifactType"] = ArtifactType,
            ["config"] = Descriptor(ConfigType, config),
            ["layers"] = new JsonArray([.. files.Select(f =>
            {
                var layer = Descriptor(LayerType(f.Path), f);
                // The second name is the one that generic clients unpack by.
                layer["annotations"] = new JsonObject { ["org.cncf.model.filepath"] = f.Path, ["org.opencontainers.image.title"] = f.Path };
                return layer;
            })]),
        };
        return Encoding.UTF8.GetBytes(root.ToJsonString(Compact));
    }

    private static JsonObject Descriptor(string type, PublishedFile file) =>
        new() { ["mediaType"] = type, ["digest"] = "sha256:" + file.Sha256, ["size"] = file.Size };

    private static string LayerType(string path)
    {
        var kind = Path.GetExtension(path).ToLower(CultureInfo.InvariantCulture) switch
        {
            ".safetensors" => "weight",
            ".md" or ".html" or ".txt" or "" => path.StartsWith("merges", StringComparison.Ordinal) || path.StartsWith("vocab", StringComparison.Ordinal) ? "weight.config" : "doc",
            _ => "weight.config",
        };
        return $"application/vnd.cncf.model.{kind}.v1.raw";
    }
}
