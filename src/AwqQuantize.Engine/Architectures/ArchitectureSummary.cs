namespace AwqQuantize.Engine.Architectures;

/// <summary>What is known of an architecture description at a glance.</summary>
/// <param name="Name">File name without extension.</param>
/// <param name="ModelTypes">The <c>model_type</c>s that it describes.</param>
/// <param name="Path">The file.</param>
public sealed record ArchitectureSummary(string Name, IReadOnlyList<string> ModelTypes, string Path);
