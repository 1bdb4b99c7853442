namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Two tokens that merge, by their indices in the table of tokens.</summary>
internal readonly record struct MergePair(int Left, int Right);
