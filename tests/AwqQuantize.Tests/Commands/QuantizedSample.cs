namespace AwqQuantize.Tests.Commands;

/// <summary>The sample model, quantised once through the cmdlet for all tests of a class.</summary>
public sealed class QuantizedSample : IDisposable
{
    private readonly ModelCopy copy = new("m");

    public QuantizedSample()
    {
        using var session = new ModuleSession();
        session.Run("Invoke-AwqQuantization $path -SampleCount 4 -SequenceLength 128 -ForceCpu", ("path", Model)).ThrowOnError();
        File.WriteAllText(Text, string.Concat(Enumerable.Repeat("Once upon a time, there was a little girl named Lily. She liked to play outside in the park with her big red ball. ", 8)));
        File.WriteAllText(OtherText, string.Concat(Enumerable.Repeat("Tom and his dog Max went to the beach. They saw a big shell in the sand. A crab said, \"This is my home!\" ", 8)));
    }

    public string Root => copy.Root;

    /// <summary>The float model.</summary>
    public string Model => copy["m"];

    /// <summary>The checkpoint.</summary>
    public string Output => Path.Combine(Model, "AWQ-4bit");

    public string Text => copy["a.txt"];

    public string OtherText => copy["b.txt"];

    /// <summary>A copy of the checkpoint beside the model.</summary>
    public string CopyOutput(string name) => copy.Add(name, Output);

    public void Dispose() => copy.Dispose();
}
