using System.Globalization;
using AwqQuantize.Engine.Tokenization.Decoders;
using AwqQuantize.Engine.Tokenization.Models;
using AwqQuantize.Engine.Tokenization.Normalizers;
using AwqQuantize.Engine.Tokenization.Patterns;
using AwqQuantize.Engine.Tokenization.PreTokenizers;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>
/// Reads SentencePiece's tokenizer.model as transformers converts it: a BPE model's merges are all pairs of pieces that
/// join to a piece, by its score. Microsoft.ML.Tokenizers' own readers break ties the other way round.
/// </summary>
internal static class SentencePieceReader
{
    private const string Mark = "\u2581";

    private static readonly string[] LlamaLike = ["", "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "InternLMTokenizer", "InternLM2Tokenizer", "YiTokenizer", "BaichuanTokenizer", "InternLM3Tokenizer"];

    public static TokenizerDefinition Read(byte[] file, TransformersConfig config)
    {
        SentencePieceModel model = SentencePieceModel.Parse(file);
        TokenizerDefinition definition = model.Kind switch
        {
            SentencePieceKind.Bpe => MakeBpe(model, config),
            SentencePieceKind.Unigram => MakeUnigram(model, config),
            _ => throw TokenizerErrors.NotSupported(string.Create(CultureInfo.InvariantCulture, $"SentencePiece's model kind {(int)model.Kind}")),
        };
        return definition with
        {
            AddedTokens = [.. AddedTokens(model), .. config.DeclaredTokens()],
            BosToken = model.PieceAt(model.BosId),
            EosToken = model.PieceAt(model.EosId),
            SuffixTokens = config.TokenizerClass == "T5Tokenizer" ? ["</s>"] : null,
            PrefixTokens = config.TokenizerClass == "T5Tokenizer" ? [] : config.TokenizerClass == "" && model.Kind == SentencePieceKind.Bpe ? [model.PieceAt(model.BosId) ?? "<s>"] : null,
        };
    }

    private static IEnumerable<AddedToken> AddedTokens(SentencePieceModel model)
    {
        foreach (SentencePiece piece in model.Pieces)
        {
            if (piece.Type is SentencePieceType.Control or SentencePieceType.UserDefined or SentencePieceType.Unknown)
            {
                yield return AddedToken.SpecialToken(piece.Text) with { Special = piece.Type != SentencePieceType.UserDefined };
            }
        }
    }

    private static TokenizerDefinition MakeBpe(SentencePieceModel model, TransformersConfig config)
    {
        Dictionary<string, int> ids = Ids(model);
        var bpe = new BpeModel(new Vocabulary(ids), MergesOf(model, ids), new BpeOptions
        {
            UnknownToken = model.PieceAt(model.UnknownId),
            FuseUnknown = true,
            ByteFallback = model.ByteFallback,
        });
        if (model.RemoveExtraWhiteSpace && !LlamaLike.Contains(config.TokenizerClass))
        {
            return WithMetaspace(bpe, model, config);
        }

        bool prefix = config.AddPrefixSpace ?? model.AddDummyPrefix;
        var marked = new ReplaceNormalizer(new LiteralPattern(" "), Mark);
        bool legacy = config.Legacy || !config.TokenizerClass.EndsWith("LlamaTokenizer", StringComparison.Ordinal);
        return new TokenizerDefinition
        {
            Model = bpe,
            Normalizer = !legacy ? null : prefix ? new SequenceNormalizer([new PrependNormalizer(Mark), marked]) : marked,
            PreTokenizer = legacy ? [] : [new MetaspaceSplitter(Mark[0], prefix ? PrependScheme.First : PrependScheme.Never, split: false)],
            Decoder = new SequenceDecoder([.. (TokenDecoder[])[new ReplaceDecoder(new ReplaceNormalizer(new LiteralPattern(Mark), " ")), new ByteFallbackDecoder(), new FuseDecoder()], .. prefix ? (TokenDecoder[])[new StripDecoder(" ", 1, 0)] : []]),
        };
    }

    private static TokenizerDefinition MakeUnigram(SentencePieceModel model, TransformersConfig config)
    {
        double[] scores = [.. model.Pieces.Select(piece => (double)piece.Score)];
        var unigram = new UnigramModel(new Vocabulary(Ids(model)), scores, model.UnknownId >= 0 ? model.UnknownId : null, model.ByteFallback);
        return WithMetaspace(unigram, model, config);
    }

    private static TokenizerDefinition WithMetaspace(TokenModel tokens, SentencePieceModel model, TransformersConfig config)
    {
        if (config.TokenizerClass is not ("" or "T5Tokenizer" or "LlamaTokenizer"))
        {
            throw TokenizerErrors.NotSupported($"tokenizer.model of a {config.TokenizerClass} without tokenizer.json");
        }

        var steps = new List<TextNormalizer>();
        if (model.CharacterMap.Length > 0)
        {
            steps.Add(new PrecompiledNormalizer(model.CharacterMap));
        }

        steps.Add(new StripNormalizer(left: false, right: true));
        steps.Add(new ReplaceNormalizer(new OnigPattern(" {2,}"), Mark));
        PrependScheme scheme = config.AddPrefixSpace ?? model.AddDummyPrefix ? PrependScheme.Always : PrependScheme.Never;
        return new TokenizerDefinition
        {
            Model = tokens,
            Normalizer = new SequenceNormalizer(steps),
            PreTokenizer = [new MetaspaceSplitter(Mark[0], scheme, split: true)],
            Decoder = new MetaspaceDecoder(Mark[0], scheme != PrependScheme.Never),
        };
    }

    private static Dictionary<string, int> Ids(SentencePieceModel model)
    {
        var ids = new Dictionary<string, int>(model.Pieces.Count, StringComparer.Ordinal);
        for (int id = 0; id < model.Pieces.Count; id++)
        {
            ids[model.Pieces[id].Text] = id;
        }

        return ids;
    }

    private static List<MergePair> MergesOf(SentencePieceModel model, Dictionary<string, int> ids)
    {
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> known = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var merges = new List<(string Left, string Right, float Score, int LeftLength, int RightLength)>();
        foreach (SentencePiece piece in model.Pieces)
        {
            var splits = new List<(int Left, int Right, int At)>();
            for (int at = 1; at < piece.Text.Length; at++)
            {
                if (!char.IsLowSurrogate(piece.Text[at]) && known.TryGetValue(piece.Text.AsSpan(0, at), out int left) && known.TryGetValue(piece.Text.AsSpan(at), out int right))
                {
                    splits.Add((left, right, at));
                }
            }

            merges.AddRange(splits.Order().Select(split => (piece.Text[..split.At], piece.Text[split.At..], piece.Score,
                Characters(piece.Text.AsSpan(0, split.At)), Characters(piece.Text.AsSpan(split.At)))));
        }

        return [.. merges.OrderByDescending(merge => merge.Score).ThenByDescending(merge => merge.LeftLength).ThenByDescending(merge => merge.RightLength)
            .Select(merge => new MergePair(merge.Left, merge.Right))];
    }

    private static int Characters(ReadOnlySpan<char> text)
    {
        int count = text.Length;
        foreach (char c in text)
        {
            count -= char.IsLowSurrogate(c) ? 1 : 0;
        }

        return count;
    }
}
