using System.Text;

namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Tokens and their ids, both ways.</summary>
internal sealed class Vocabulary
{
    private readonly TokenTable tokens;
    private readonly int[] dense;
    private readonly Dictionary<int, int>? sparse;

    /// <param name="tokens">Token to id; ids may have holes, and two tokens may share one.</param>
    public Vocabulary(TokenTable tokens)
    {
        this.tokens = tokens;
        MaximumId = -1;
        for (int index = 0; index < tokens.Count; index++)
        {
            MaximumId = Math.Max(MaximumId, tokens.IdAt(index));
        }

        // A file may name any id up to 2³¹: memory follows the number of tokens, not the numbers they bear.
        if (MaximumId < 4L * tokens.Count + 1024)
        {
            dense = new int[MaximumId + 1];
            Array.Fill(dense, -1);
            for (int index = 0; index < tokens.Count; index++)
            {
                int id = tokens.IdAt(index);
                HasSharedIds |= dense[id] >= 0;
                dense[id] = index;
            }
        }
        else
        {
            dense = [];
            sparse = new Dictionary<int, int>(tokens.Count);
            for (int index = 0; index < tokens.Count; index++)
            {
                HasSharedIds |= !sparse.TryAdd(tokens.IdAt(index), index);
                sparse[tokens.IdAt(index)] = index;
            }
        }
    }

    public int Count => tokens.Count;

    public int MaximumId { get; }

    /// <summary>Whether two tokens have one id.</summary>
    public bool HasSharedIds { get; }

    /// <summary>The tokens by index, which tells apart also those that share an id.</summary>
    public TokenTable Tokens => tokens;

    public bool TryGetId(ReadOnlySpan<char> token, out int id)
    {
        int index = tokens.IndexOf(token);
        id = index < 0 ? -1 : tokens.IdAt(index);
        return index >= 0;
    }

    public string? TokenOf(int id) =>
        (uint)id < (uint)dense.Length ? dense[id] is int index and >= 0 ? tokens.TokenAt(index) : null
        : sparse is not null && sparse.TryGetValue(id, out int found) ? tokens.TokenAt(found) : null;
}
