namespace AwqQuantize.Build;

/// <summary>A symbol version that a library needs of another.</summary>
/// <param name="Version">E.g. <c>GLIBCXX_3.4.32</c>.</param>
/// <param name="IsWeak">The loader may go on without it.</param>
/// <param name="Symbols">The undefined symbols bound to it.</param>
public sealed record ElfVersionNeed(string Version, bool IsWeak, IReadOnlyList<string> Symbols);
