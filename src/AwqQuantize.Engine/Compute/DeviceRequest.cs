using System.Globalization;

namespace AwqQuantize.Engine.Compute;

/// <summary>What a user's words for a device mean, before anybody looks whether it is there.</summary>
/// <param name="IsAuto">The first GPU that can be used, else the CPU.</param>
/// <param name="Gpus">Indices of the GPUs that are asked for; none for the CPU.</param>
public sealed record DeviceRequest(bool IsAuto, IReadOnlyList<int> Gpus)
{
    private const string Forms = "Use auto, cpu, cuda, cuda:N, or several GPUs as cuda:0,cuda:1.";

    public bool IsCpu => !IsAuto && Gpus.Count == 0;

    /// <summary>Reads <c>auto</c>, <c>cpu</c>, <c>cuda</c> (the first GPU), <c>cuda:N</c>, or several GPUs with commas between them.</summary>
    /// <exception cref="AwqException"><c>DeviceInvalid</c>.</exception>
    public static DeviceRequest Parse(string text)
    {
        var names = text.Split(',', StringSplitOptions.TrimEntries).Select(n => n.ToLowerInvariant()).ToArray();
        if (names is ["auto"])
            return new DeviceRequest(true, []);
        if (names is ["cpu"])
            return new DeviceRequest(false, []);
        var gpus = names.Select(name => IndexOf(name, text)).ToArray();
        return gpus.Distinct().Count() == gpus.Length ? new DeviceRequest(false, gpus)
            : throw Invalid($"'{text}' names a GPU twice.");
    }

    public override string ToString() => IsAuto ? "auto" : IsCpu ? "cpu" : string.Join(',', Gpus.Select(g => $"cuda:{g}"));

    private static int IndexOf(string name, string text)
    {
        if (name == "cuda")
            return 0;
        if (name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out var index))
            return index;
        throw Invalid(name is "auto" or "cpu" ? $"'{name}' stands alone, not in a list like '{text}'." : $"There is no device '{name}'.");
    }

    private static AwqException Invalid(string message) => new("DeviceInvalid", AwqErrorKind.InvalidArgument, message, Forms);
}
