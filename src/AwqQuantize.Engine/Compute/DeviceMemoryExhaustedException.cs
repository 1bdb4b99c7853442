namespace AwqQuantize.Engine.Compute;

/// <summary>A device found out before it tried that something does not fit its memory.</summary>
public sealed class DeviceMemoryExhaustedException(string message) : Exception(message);
