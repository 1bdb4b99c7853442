using AwqQuantize.Console;

CommandLine line;
try
{
    line = CommandLine.Parse(args);
}
catch (ArgumentException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
switch (line.Kind)
{
    case CommandLineKind.Help:
        Console.Out.WriteLine(CommandLine.HelpText);
        return 0;
    case CommandLineKind.Version:
        Console.Out.WriteLine(typeof(CommandLine).Assembly.GetName().Version!.ToString(3));
        return 0;
    default:
        return new Session().Run(line);
}
