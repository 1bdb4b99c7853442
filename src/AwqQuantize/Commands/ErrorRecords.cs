using System.Management.Automation;
using AwqQuantize.Engine;

namespace AwqQuantize.Commands;

/// <summary>Turns the engine's errors into error records.</summary>
internal static class ErrorRecords
{
    /// <param name="target">The path, or other thing, as the user named it.</param>
    public static ErrorRecord From(Exception error, object? target)
    {
        var awq = error as AwqException ?? Wrap(error);
        return new ErrorRecord(awq, awq.Id, CategoryOf(awq.Kind), target)
        {
            ErrorDetails = new ErrorDetails(awq.Message) { RecommendedAction = awq.Remedy },
        };
    }

    public static ErrorCategory CategoryOf(AwqErrorKind kind) => kind switch
    {
        AwqErrorKind.InvalidData => ErrorCategory.InvalidData,
        AwqErrorKind.NotFound => ErrorCategory.ObjectNotFound,
        AwqErrorKind.NotSupported => ErrorCategory.NotImplemented,
        AwqErrorKind.InvalidArgument => ErrorCategory.InvalidArgument,
        AwqErrorKind.ResourceUnavailable => ErrorCategory.ResourceUnavailable,
        AwqErrorKind.LimitExceeded => ErrorCategory.LimitsExceeded,
        AwqErrorKind.WriteFailed => ErrorCategory.WriteError,
        AwqErrorKind.PermissionDenied => ErrorCategory.PermissionDenied,
        AwqErrorKind.AlreadyExists => ErrorCategory.ResourceExists,
        _ => ErrorCategory.NotSpecified,
    };

    /// <summary>What the engine did not foresee still has an id, a category and advice.</summary>
    private static AwqException Wrap(Exception error)
    {
        var line = error.Message.Split('\n')[0].TrimEnd();
        return error switch
        {
            UnauthorizedAccessException => new AwqException("AccessDenied", AwqErrorKind.PermissionDenied, line, "Give this user access, or choose another folder.", error),
            IOException => new AwqException("InputOutputFailed", AwqErrorKind.ResourceUnavailable, line, "Check the disk or the network share.", error),
            OutOfMemoryException => new AwqException("MemoryExhausted", AwqErrorKind.LimitExceeded, line, "Give a smaller -SequenceLength or -SampleCount, or close other programs.", error),
            _ => new AwqException("EngineFailed", AwqErrorKind.ResourceUnavailable, $"{error.GetType().Name}: {line}",
                "This is not your fault: please report it with the output of $Error[0].Exception.InnerException.ToString().", error),
        };
    }
}
