using System.Management.Automation;

namespace AwqQuantize.Tests;

internal sealed record SessionResult(
    IReadOnlyList<PSObject> Output, IReadOnlyList<ErrorRecord> Errors, IReadOnlyList<string> Warnings,
    IReadOnlyList<string> Verbose, IReadOnlyList<ProgressRecord> Progress)
{
    public SessionResult ThrowOnError() =>
        Errors.Count == 0 ? this : throw new InvalidOperationException($"{Errors[0].FullyQualifiedErrorId}: {Errors[0]}\n{Errors[0].Exception}");

    /// <summary>The first half of the fully qualified id.</summary>
    public string ErrorId => Assert.Single(Errors).FullyQualifiedErrorId.Split(',')[0];
}
