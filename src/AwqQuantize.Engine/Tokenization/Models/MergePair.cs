namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Two tokens that merge, with their ids where these are known already, else -1.</summary>
internal readonly record struct MergePair(string Left, string Right, int LeftId, int RightId)
{
    public MergePair(string left, string right)
        : this(left, right, -1, -1)
    {
    }
}
