using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// What one thread needs to encode: the ids found so far, scratch memory and a cache of pieces. Workspaces are pooled,
/// never shared, so that no lookup takes a lock; which one is used never changes a result.
/// </summary>
internal sealed class EncodingWorkspace : IPieceSink
{
    private const int CacheCapacity = 1 << 17;

    private readonly TokenModel model;
    private readonly Dictionary<string, int[]> cache = [];
    private readonly Dictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> cacheBySpan;

    public EncodingWorkspace(TokenModel model, IReadOnlyList<PieceSplitter> preTokenizer)
    {
        this.model = model;
        cacheBySpan = cache.GetAlternateLookup<ReadOnlySpan<char>>();
        IPieceSink next = this;
        for (int i = preTokenizer.Count - 1; i >= 0; i--)
        {
            next = new SplitterSink(preTokenizer[i], next);
        }

        Entry = next;
    }

    /// <summary>Where text enters the pre-tokenizer.</summary>
    public IPieceSink Entry { get; }

    public List<int> Ids { get; } = [];

    public MergeScratch Merge { get; } = new();

    /// <summary>Called for each piece that the pre-tokenizer made, when somebody wants to see them.</summary>
    public Action<Piece>? PieceObserver { get; set; }

    void IPieceSink.Add(in Piece piece)
    {
        if (piece.Length == 0)
        {
            return;
        }

        PieceObserver?.Invoke(piece);
        model.Encode(piece, this);
    }

    public bool TryAppendCached(ReadOnlySpan<char> text)
    {
        if (!cacheBySpan.TryGetValue(text, out int[]? ids))
        {
            return false;
        }

        Ids.AddRange(ids);
        return true;
    }

    /// <summary>Remembers that <paramref name="text"/> gives the ids from <paramref name="firstId"/> on.</summary>
    public void Remember(ReadOnlySpan<char> text, int firstId)
    {
        if (cache.Count >= CacheCapacity)
        {
            cache.Clear();
        }

        cacheBySpan[text] = Ids.GetRange(firstId, Ids.Count - firstId).ToArray();
    }

    private sealed class SplitterSink(PieceSplitter splitter, IPieceSink next) : IPieceSink
    {
        public void Add(in Piece piece)
        {
            if (piece.Length > 0)
            {
                splitter.Split(piece.BytesPending ? Mapped(piece) : piece, next);
            }
        }

        // A step after ByteLevel sees the byte alphabet, as in Falcon's tokenizer.
        private static Piece Mapped(in Piece piece) => new(ByteAlphabet.Map(piece.Span), piece.AtOriginalStart);
    }
}
