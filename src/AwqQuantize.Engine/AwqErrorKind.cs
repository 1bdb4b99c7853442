namespace AwqQuantize.Engine;

/// <summary>What sort of error an <see cref="AwqException"/> is.</summary>
public enum AwqErrorKind
{
    /// <summary>A file or value is malformed.</summary>
    InvalidData,

    /// <summary>A file, folder or tensor is missing.</summary>
    NotFound,

    /// <summary>Well formed, but this program does not handle it.</summary>
    NotSupported,

    /// <summary>An option, or a combination of options, makes no sense.</summary>
    InvalidArgument,

    /// <summary>A device, library or service cannot be used.</summary>
    ResourceUnavailable,

    /// <summary>Memory, disk or time ran out.</summary>
    LimitExceeded,

    /// <summary>The destination cannot be written.</summary>
    WriteFailed,

    /// <summary>The operating system or a service refused access.</summary>
    PermissionDenied,

    /// <summary>The destination exists already.</summary>
    AlreadyExists,
}
