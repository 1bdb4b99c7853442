using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Evaluation;

/// <summary>The tokenizer is there, works, fits the model, and is the source's; so are the other files beside the weights.</summary>
internal sealed class TokenizerCheck : OutputCheck
{
    private static readonly string[] Definitions = ["tokenizer.json", "tokenizer.model", "vocab.json", "tiktoken.model"];

    public override string Name => "Tokenizer";

    protected override IEnumerable<AwqCheck> Find(OutputFolder folder)
    {
        var present = Definitions.Any(d => File.Exists(folder.File(d))) || Directory.EnumerateFiles(folder.Path, "*.tiktoken").Any();
        if (!present)
            yield return Warning("tokenizer.json", "There is no tokenizer in the folder: readers need it from elsewhere.");
        else if (Load(folder) is { } finding)
            yield return finding;
        if (folder.Source is null)
            yield break;
        foreach (var name in CarriedFiles.Find(folder.Source.Folder.Path).Where(n => n != CarriedFiles.GenerationConfig))
        {
            var belongs = name.Contains("token", StringComparison.Ordinal) || name is "vocab.json" or "merges.txt" || name.EndsWith(".jinja", StringComparison.Ordinal) || name == "chat_template.json";
            if (!File.Exists(folder.File(name)))
            {
                if (belongs && present)
                    yield return Failed(name, "The source has this file, and it is missing here.");
                else if (!belongs)
                    yield return Warning(name, "The source has this file, and it is missing here.");
            }
            else if (belongs && !File.ReadAllBytes(folder.File(name)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(folder.Source.Folder.Path, name))))
                yield return Failed(name, "The file differs from the source's.");
        }
    }

    private AwqCheck? Load(OutputFolder folder)
    {
        try
        {
            var largest = TextTokenizer.Load(folder.Path).VocabularySize;
            // Some families reserve ids in the tokenizer that the model never learned; readers still take them from text.
            return folder.Model is { } model && largest > model.Graph.VocabularySize
                ? Failed("tokenizer.json", $"The tokenizer makes ids up to {largest - 1}, and the model knows {model.Graph.VocabularySize} only.") : null;
        }
        catch (AwqException e) when (e.Kind == AwqErrorKind.NotSupported)
        {
            return Warning("tokenizer.json", e.Message);
        }
        catch (AwqException e)
        {
            return Failed("tokenizer.json", e.Message);
        }
    }

    protected override string Praise(OutputFolder folder) =>
        folder.Source is null ? "The tokenizer works and fits the model." : "The tokenizer works, fits the model, and is the source's.";
}
