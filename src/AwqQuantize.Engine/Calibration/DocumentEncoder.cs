using System.Text.Json.Nodes;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Calibration;

/// <summary>A model's tokenizer and chat template, read when they are first needed: token ids need neither.</summary>
internal sealed class DocumentEncoder(string modelFolder)
{
    private TextTokenizer? tokenizer;
    private ChatTemplate? template;

    /// <summary>Stands between documents; null while nothing was encoded.</summary>
    public int? Separator => tokenizer?.BosId ?? tokenizer?.EosId;

    public IReadOnlyList<int> Encode(string text) => Tokenizer.Encode(text, addSpecialTokens: false);

    public IReadOnlyList<IReadOnlyList<int>> Encode(IReadOnlyList<string> texts, CancellationToken cancel) => Tokenizer.EncodeAll(texts, addSpecialTokens: false, cancel);

    /// <summary>A conversation, as the model was trained on it.</summary>
    /// <exception cref="AwqException"><c>ChatTemplateMissing</c>, or an error of the template.</exception>
    public IReadOnlyList<int> Encode(JsonArray messages)
    {
        template ??= ChatTemplate.Load(modelFolder) ?? throw new AwqException("ChatTemplateMissing", AwqErrorKind.NotFound,
            $"'{modelFolder}' has no chat template, so messages cannot be written as its model saw them.", "Give \"text\" instead of \"messages\", or add chat_template.jinja to the model's folder.");
        return Encode(template.Apply(messages, addGenerationPrompt: false));
    }

    private TextTokenizer Tokenizer => tokenizer ??= TextTokenizer.Load(modelFolder);
}
