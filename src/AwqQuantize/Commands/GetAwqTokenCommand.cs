using System.Management.Automation;
using System.Text.Json;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Commands;

/// <summary>The token ids that a model's tokenizer gives texts, as JSON: to compare with other implementations.</summary>
[Cmdlet(VerbsCommon.Get, "AwqToken", DefaultParameterSetName = TextSet)]
[OutputType(typeof(string))]
public sealed class GetAwqTokenCommand : AwqCommand
{
    private const string TextSet = "Text";
    private const string FileSet = "InputFile";

    private readonly List<string> texts = [];

    /// <summary>Folder of the model, or of its tokenizer's files.</summary>
    [Parameter(Mandatory = true, Position = 0)]
    [ValidateNotNullOrEmpty]
    public string Path { get; set; } = "";

    [Parameter(ParameterSetName = TextSet, Mandatory = true, Position = 1, ValueFromPipeline = true)]
    [AllowEmptyString]
    public string[] Text { get; set; } = [];

    /// <summary>A JSON file with an array of strings.</summary>
    [Parameter(ParameterSetName = FileSet, Mandatory = true)]
    [ValidateNotNullOrEmpty]
    public string InputFile { get; set; } = "";

    /// <summary>Puts the tokens of the template (such as BOS) around each text.</summary>
    [Parameter]
    public SwitchParameter AddSpecialToken { get; set; }

    protected override void ProcessRecord() => texts.AddRange(Text);

    protected override void EndProcessing() => Attempt(Path, () =>
    {
        // The tokenizer file alone, as other implementations run it; what transformers adds is for calibration.
        var tokenizer = TextTokenizer.Load(ResolveLiteral(Path), asTransformers: false);
        var ids = new List<int[]>();
        foreach (var text in ParameterSetName == FileSet ? Read(ResolveLiteral(InputFile)) : texts)
        {
            if (Stopped.IsCancellationRequested)
                throw new PipelineStoppedException();
            ids.Add(tokenizer.Encode(text, AddSpecialToken));
        }
        Emit(JsonSerializer.Serialize(ids));
    });

    private static List<string> Read(string file)
    {
        try
        {
            return JsonStrings.Read(File.ReadAllBytes(file));
        }
        catch (JsonException e)
        {
            throw new AwqException("InputFileInvalid", AwqErrorKind.InvalidData, $"'{file}' is no JSON array of strings: {e.Message}",
                "Write the texts as [\"first\", \"second\"].", e);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new AwqException("PathNotFound", AwqErrorKind.NotFound, $"There is no file '{file}'.", "Check the path.", e);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new AwqException("FileReadFailed", AwqErrorKind.ResourceUnavailable, $"'{file}' could not be read: {e.Message}", "Check the path and its permissions.", e);
        }
    }
}
