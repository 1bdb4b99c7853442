namespace AwqQuantize.Console;

internal enum CommandLineKind
{
    Help,
    Version,
    Script,
    File,
}
