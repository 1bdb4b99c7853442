using System.Management.Automation;

namespace AwqQuantize.Tests.Commands;

/// <summary>What tests of runs through the cmdlets have in common.</summary>
internal static class SmallRun
{
    public const string Class = ",AwqQuantize.Commands.InvokeAwqQuantizationCommand";

    /// <summary>A run that really calibrates, and takes a second.</summary>
    public const string Small = "-SampleCount 2 -SequenceLength 64 -ForceCpu";

    public static object? Value(PSObject o, string name) => o.Properties[name].Value;

    public static Dictionary<string, byte[]> Contents(string folder) =>
        Directory.GetFiles(folder).ToDictionary(f => Path.GetFileName(f), File.ReadAllBytes);
}
