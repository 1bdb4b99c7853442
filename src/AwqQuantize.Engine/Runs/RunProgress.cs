namespace AwqQuantize.Engine.Runs;

/// <summary>How far a run is.</summary>
/// <param name="Activity">The model and what is done to it.</param>
/// <param name="Status">The present part, e.g. <c>layer 3 of 32</c>.</param>
/// <param name="Step">Parts done, 0 to <paramref name="Steps"/>.</param>
/// <param name="Steps">Parts in all.</param>
/// <param name="Fraction">Of the whole run, 0 to 1.</param>
/// <param name="Remaining">Time left; null while it cannot be told.</param>
/// <param name="Detail">What is done inside the part, or null.</param>
/// <param name="DetailFraction">Of that, 0 to 1, or null.</param>
public sealed record RunProgress(
    string Activity, string Status, int Step, int Steps, double Fraction, TimeSpan? Remaining, string? Detail, double? DetailFraction);
