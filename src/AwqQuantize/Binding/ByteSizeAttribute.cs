using System.Globalization;
using System.Management.Automation;
using System.Text.RegularExpressions;

namespace AwqQuantize.Binding;

/// <summary>Takes a size in bytes as a number or as text such as <c>24GB</c>, <c>1.5 GiB</c> or <c>800 MB</c> (powers of 1024, as in PowerShell).</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed partial class ByteSizeAttribute : ArgumentTransformationAttribute
{
    public override object? Transform(EngineIntrinsics engineIntrinsics, object inputData)
    {
        var value = inputData is PSObject wrapped ? wrapped.BaseObject : inputData;
        return value is string text ? Parse(text) : value;
    }

    /// <exception cref="ArgumentTransformationMetadataException">It is no size.</exception>
    public static long Parse(string text)
    {
        var match = Size().Match(text);
        if (!match.Success)
            throw new ArgumentTransformationMetadataException($"'{text}' is no size in bytes; write for example 24GB or 800MB.");
        var power = match.Groups[2].Value.ToUpperInvariant() switch { "" => 0, "K" => 1, "M" => 2, "G" => 3, _ => 4 };
        var bytes = double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) * Math.Pow(1024, power);
        return bytes < long.MaxValue ? (long)bytes : throw new ArgumentTransformationMetadataException($"'{text}' is too large a size.");
    }

    [GeneratedRegex(@"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Size();
}
