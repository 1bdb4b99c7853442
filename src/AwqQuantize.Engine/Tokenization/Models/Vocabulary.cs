namespace AwqQuantize.Engine.Tokenization.Models;

/// <summary>Tokens and their ids, both ways.</summary>
internal sealed class Vocabulary
{
    private readonly Dictionary<string, int> ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> idsBySpan;
    private readonly string?[] dense;
    private readonly Dictionary<int, string>? sparse;

    /// <param name="ids">Token to id; ids may have holes, and two tokens may share one.</param>
    public Vocabulary(Dictionary<string, int> ids)
    {
        this.ids = ids;
        idsBySpan = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        MaximumId = -1;
        foreach (int id in ids.Values)
        {
            MaximumId = Math.Max(MaximumId, id);
        }

        // A file may name any id up to 2³¹: memory follows the number of tokens, not the numbers they bear.
        if (MaximumId < 4L * ids.Count + 1024)
        {
            dense = new string?[MaximumId + 1];
            foreach ((string token, int id) in ids)
            {
                HasSharedIds |= dense[id] is not null;
                dense[id] = token;
            }
        }
        else
        {
            dense = [];
            sparse = new Dictionary<int, string>(ids.Count);
            foreach ((string token, int id) in ids)
            {
                HasSharedIds |= !sparse.TryAdd(id, token);
                sparse[id] = token;
            }
        }
    }

    public int Count => ids.Count;

    public int MaximumId { get; }

    /// <summary>Whether two tokens have one id.</summary>
    public bool HasSharedIds { get; }

    public IEnumerable<KeyValuePair<string, int>> Tokens => ids;

    public bool TryGetId(ReadOnlySpan<char> token, out int id) => idsBySpan.TryGetValue(token, out id);

    public string? TokenOf(int id) =>
        (uint)id < (uint)dense.Length ? dense[id] : sparse?.GetValueOrDefault(id);
}
