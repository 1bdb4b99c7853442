namespace AwqQuantize.Engine.Checkpoints;

/// <summary>Turns the system's file errors into errors that name the file and the remedy; others pass unchanged.</summary>
internal static class FileErrors
{
    public static Exception OnRead(Exception error, string path) => error switch
    {
        FileNotFoundException or DirectoryNotFoundException => new AwqException("FileMissing", AwqErrorKind.NotFound,
            $"'{path}' does not exist, or is a link to something that does not.", "Check the path; complete the download.", error),
        UnauthorizedAccessException => new AwqException("FileAccessDenied", AwqErrorKind.PermissionDenied,
            $"'{path}' may not be read by this user, or is no file.", "Give this user read access.", error),
        IOException => new AwqException("FileReadFailed", AwqErrorKind.ResourceUnavailable,
            $"'{path}' could not be read: {error.Message}", "Check the disk or the network share.", error),
        _ => error,
    };

    public static Exception OnWrite(Exception error, string path) => error switch
    {
        AwqException => error,
        UnauthorizedAccessException => new AwqException("DestinationAccessDenied", AwqErrorKind.PermissionDenied,
            $"'{path}' may not be written by this user.", "Choose another destination, or give this user write access.", error),
        IOException => new AwqException("DestinationWriteFailed", AwqErrorKind.WriteFailed,
            $"'{path}' could not be written: {error.Message}", "Check free space and quota of the destination.", error),
        _ => error,
    };
}
