namespace AwqQuantize.Engine;

/// <summary>
/// An error that a user can act on: what is wrong, where, and what to do. The module turns it into one error record.
/// </summary>
/// <param name="id">Stable identifier, e.g. <c>CheckpointShardMissing</c>; part of the public contract.</param>
/// <param name="kind">What sort of error; the module maps it to an error category.</param>
/// <param name="message">What is wrong and where.</param>
/// <param name="remedy">What the user can do about it.</param>
public sealed class AwqException(string id, AwqErrorKind kind, string message, string remedy, Exception? inner = null)
    : Exception(message, inner)
{
    public string Id { get; } = id;

    public AwqErrorKind Kind { get; } = kind;

    public string Remedy { get; } = remedy;
}
