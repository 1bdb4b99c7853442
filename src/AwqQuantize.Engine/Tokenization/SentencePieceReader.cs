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
        TokenTable tokens = Tokens(model);
        var bpe = new BpeModel(new Vocabulary(tokens), MergesOf(model, tokens), new BpeOptions
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
        var unigram = new UnigramModel(new Vocabulary(Tokens(model)), scores, model.UnknownId >= 0 ? model.UnknownId : null, model.ByteFallback);
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

    private static TokenTable Tokens(SentencePieceModel model)
    {
        var tokens = new TokenTable(model.Pieces.Count);
        for (int id = 0; id < model.Pieces.Count; id++)
        {
            tokens.Add(model.Pieces[id].Text, id);
        }

        return tokens;
    }

    private static List<MergePair> MergesOf(SentencePieceModel model, TokenTable tokens)
    {
        var merges = new List<(MergePair Pair, float Score, int LeftLength, int RightLength)>();
        var splits = new List<MergePair>();
        foreach (SentencePiece piece in model.Pieces)
        {
            splits.Clear();
            tokens.AddSplits(tokens.IndexOf(piece.Text), splits);
            merges.AddRange(splits.OrderBy(pair => (tokens.IdAt(pair.Left), tokens.IdAt(pair.Right)))
                .Select(pair => (pair, piece.Score, Characters(tokens.Utf8At(pair.Left)), Characters(tokens.Utf8At(pair.Right)))));
        }

        return [.. merges.OrderByDescending(merge => merge.Score).ThenByDescending(merge => merge.LeftLength).ThenByDescending(merge => merge.RightLength)
            .Select(merge => merge.Pair)];
    }

    private static int Characters(ReadOnlySpan<byte> utf8)
    {
        int count = 0;
        foreach (byte value in utf8)
        {
            count += (value & 0xC0) != 0x80 ? 1 : 0;
        }

        return count;
    }
}
