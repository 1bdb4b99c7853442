namespace AwqQuantize.Engine.Evaluation;

/// <summary>What a check found: one of these where all is well, one per finding where not.</summary>
/// <param name="Name">Stable name of the check, e.g. <c>Scales</c>.</param>
/// <param name="Status">What became of it.</param>
/// <param name="Subject">File, tensor, module or setting that it is about; empty for the whole checkpoint.</param>
/// <param name="Message">What is right or wrong, with the numbers.</param>
public sealed record AwqCheck(string Name, CheckStatus Status, string Subject, string Message);
