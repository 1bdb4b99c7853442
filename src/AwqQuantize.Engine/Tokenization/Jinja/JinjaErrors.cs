namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>What can be wrong with a chat template.</summary>
internal static class JinjaErrors
{
    private const string TextRemedy = "Apply the template elsewhere and give calibration data as text or token ids.";

    public static AwqException Invalid(string what) =>
        new("ChatTemplateInvalid", AwqErrorKind.InvalidData, $"The model's chat template fails: {what}.", TextRemedy);

    public static AwqException NotSupported(string part) =>
        new("ChatTemplatePartNotSupported", AwqErrorKind.NotSupported, $"The model's chat template uses a part of Jinja that is not supported: {part}.", TextRemedy);

    /// <summary>The template's own <c>raise_exception</c>.</summary>
    public static AwqException Rejected(string message) =>
        new("ChatTemplateRejectsMessages", AwqErrorKind.InvalidData, $"The model's chat template rejects the messages: {message}", "Correct the messages in the calibration data.");
}
