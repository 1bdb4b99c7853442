using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>Texts as windows of token ids, all of one length.</summary>
internal sealed class EvaluationWindows
{
    private EvaluationWindows(List<long[]> ids, List<int> texts, int length, int stride, bool bos)
    {
        (Ids, Texts, Length, Stride, HasBos) = (ids, texts, length, stride, bos);
    }

    /// <summary>[windows][<see cref="Length"/>].</summary>
    public IReadOnlyList<long[]> Ids { get; }

    /// <summary>For each window the index of its text.</summary>
    public IReadOnlyList<int> Texts { get; }

    public int Length { get; }

    public int Stride { get; }

    public bool HasBos { get; }

    /// <summary>
    /// The first position whose next token counts: the tokens that a window shares with the one before it were predicted there
    /// with more context.
    /// </summary>
    public int FirstCounted(int window) =>
        window == 0 || Texts[window] != Texts[window - 1] || Stride >= Own ? 0 : Length - Stride - 1;

    private int Own => HasBos ? Length - 1 : Length;

    /// <summary>Reads and cuts the texts. What is left over at the end of a text and fills no window is not used.</summary>
    /// <param name="options">Which texts, and how they are cut.</param>
    /// <param name="modelFolder">Whose tokenizer is used.</param>
    /// <param name="vocabulary">Ids must be below this.</param>
    /// <param name="positions">Most tokens that the models take.</param>
    /// <exception cref="AwqException"><c>EvaluationTextMissing</c>, <c>EvaluationTextEmpty</c>, <c>EvaluationOptionInvalid</c>,
    /// <c>TokenizerMismatch</c>, or an error of the tokenizer.</exception>
    public static EvaluationWindows Read(MeasurementOptions options, string modelFolder, int vocabulary, int positions, CancellationToken cancel)
    {
        if (options.Context < 2 || options.Stride is < 1 || options.Stride > options.Context || options.MaximumTokens is < 2)
        {
            throw new AwqException("EvaluationOptionInvalid", AwqErrorKind.InvalidArgument,
                $"A context of {options.Context} with a stride of {options.Stride?.ToString() ?? "the same"} and at most {options.MaximumTokens?.ToString() ?? "all"} tokens makes no sense.",
                "Use a context of at least 2, and a stride from 1 to the context.");
        }
        var tokenizer = TextTokenizer.Load(modelFolder);
        var bos = options.AddBos ? tokenizer.BosId : null;
        var texts = new List<int[]>();
        foreach (var file in options.Texts)
        {
            var ids = tokenizer.Encode(ReadText(file), addSpecialTokens: false);
            cancel.ThrowIfCancellationRequested();
            if (ids.Length < 2)
                throw new AwqException("EvaluationTextEmpty", AwqErrorKind.InvalidData, $"'{file}' has no two tokens in it.", "Give a longer text.");
            if (ids.FirstOrDefault(id => id >= vocabulary, -1) is var wrong and not -1)
                throw new AwqException("TokenizerMismatch", AwqErrorKind.InvalidData,
                    $"The tokenizer of '{modelFolder}' makes token {wrong}, and the model knows {vocabulary} only.", "The tokenizer belongs to another model.");
            texts.Add(options.MaximumTokens is { } most && most < ids.Length ? ids[..most] : ids);
        }
        if (texts.Count == 0)
            throw new AwqException("EvaluationTextEmpty", AwqErrorKind.InvalidArgument, "There is no text to measure on.", "Name text files with -Text.");
        // One length for all windows: a short text among long ones is better measured with less context than left out.
        var own = Math.Min(Math.Min(options.Context, positions - (bos is null ? 0 : 1)), texts.Min(t => t.Length));
        var stride = Math.Min(options.Stride ?? own, own);
        var windows = new List<long[]>();
        var owners = new List<int>();
        for (var text = 0; text < texts.Count; text++)
        {
            for (var start = 0; start + own <= texts[text].Length; start += stride)
            {
                var ids = texts[text].Skip(start).Take(own).Select(id => (long)id);
                windows.Add([.. bos is { } first ? ids.Prepend(first) : ids]);
                owners.Add(text);
            }
        }
        return new EvaluationWindows(windows, owners, own + (bos is null ? 0 : 1), stride, bos is not null);
    }

    private static string ReadText(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new AwqException("EvaluationTextMissing", AwqErrorKind.NotFound, $"There is no text at '{file}'.", "Check the path given with -Text.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AwqException("EvaluationTextUnreadable", AwqErrorKind.PermissionDenied, $"'{file}' cannot be read: {e.Message}", "Give the path of a text file that this user may read.", e);
        }
    }
}
