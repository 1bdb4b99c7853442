using AwqQuantize.Engine.Tokenization.Normalizers;

namespace AwqQuantize.Engine.Tokenization.Decoders;

/// <summary>All tokens become one.</summary>
internal sealed class FuseDecoder : TokenDecoder
{
    public override List<string> Decode(List<string> tokens) => [Join(tokens)];
}

/// <summary>The Replace normalizer, on each token.</summary>
internal sealed class ReplaceDecoder(ReplaceNormalizer replace) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens) => tokens.ConvertAll(replace.Normalize);
}

/// <summary>Takes so many of one character off the ends of each token.</summary>
internal sealed class StripDecoder(string content, int start, int stop) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens) => tokens.ConvertAll(Strip);

    private string Strip(string token)
    {
        int first = 0;
        for (int i = 0; i < start && token.AsSpan(first).StartsWith(content, StringComparison.Ordinal); i++)
        {
            first += content.Length;
        }

        int end = token.Length;
        for (int i = 0; i < stop && end > first && token.AsSpan(first, end - first).EndsWith(content, StringComparison.Ordinal); i++)
        {
            end -= content.Length;
        }

        return token[first..end];
    }
}

/// <summary>Marks become spaces; in the first token they vanish, unless none was ever prepended.</summary>
internal sealed class MetaspaceDecoder(char mark, bool prepended) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens)
    {
        var result = tokens.ConvertAll(token => token.Replace(mark, ' '));
        if (tokens.Count > 0 && prepended)
        {
            result[0] = tokens[0].Replace(mark.ToString(), "", StringComparison.Ordinal);
        }

        return result;
    }
}

/// <summary>An end-of-word suffix becomes a space, but for the last token.</summary>
internal sealed class BpeDecoder(string suffix) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens)
    {
        if (suffix.Length == 0)
        {
            return tokens;
        }

        var result = new List<string>(tokens.Count);
        for (int i = 0; i < tokens.Count; i++)
        {
            result.Add(tokens[i].Replace(suffix, i == tokens.Count - 1 ? "" : " ", StringComparison.Ordinal));
        }

        return result;
    }
}

/// <summary>Words are joined by spaces, continued words by nothing.</summary>
internal sealed class WordPieceDecoder(string prefix, bool cleanup) : TokenDecoder
{
    private static readonly (string Artifact, string Text)[] Artifacts =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ];

    public static string CleanUp(string text)
    {
        foreach ((string artifact, string replacement) in Artifacts)
        {
            text = text.Replace(artifact, replacement, StringComparison.Ordinal);
        }

        return text;
    }

    public override List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        for (int i = 0; i < tokens.Count; i++)
        {
            string token = tokens[i];
            string part = i == 0 ? token : token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : " " + token;
            result.Add(cleanup ? CleanUp(part) : part);
        }

        return result;
    }
}

/// <summary>Connectionist temporal classification: repeated tokens count once, the pad token not at all.</summary>
internal sealed class CtcDecoder(string pad, string wordDelimiter, bool cleanup) : TokenDecoder
{
    public override List<string> Decode(List<string> tokens)
    {
        var result = new List<string>();
        string? previous = null;
        foreach (string token in tokens)
        {
            if (token == previous)
            {
                continue;
            }

            previous = token;
            string text = pad.Length == 0 ? token : token.Replace(pad, "", StringComparison.Ordinal);
            if (cleanup)
            {
                text = WordPieceDecoder.CleanUp(text);
                text = wordDelimiter.Length == 0 ? text : text.Replace(wordDelimiter, " ", StringComparison.Ordinal);
            }

            if (text.Length > 0)
            {
                result.Add(text);
            }
        }

        return result;
    }
}
