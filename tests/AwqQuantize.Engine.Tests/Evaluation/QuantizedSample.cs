using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Evaluation;

/// <summary>The sample model, quantised once for all tests of a class.</summary>
public sealed class QuantizedSample : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public QuantizedSample()
    {
        Text = folder.Write("calibration.txt", string.Concat(Enumerable.Repeat(Story, 6)));
        Result = QuantizationRun.Execute(new QuantizationOptions
        {
            ModelPath = Source, ModuleRoot = SharedData.Repository("module"), OutputPath = Path, CalibrationData = [Text], SampleCount = 4,
            SequenceLength = 128, ForceCpu = true,
        }, new SilentObserver(), default);
    }

    public const string Story =
        "Once upon a time, there was a little girl named Lily. She liked to play outside in the park with her big red ball. One day, the ball "
        + "rolled into the pond. Lily was sad. A kind duck saw her and pushed the ball back. Lily said thank you and they became friends. "
        + "Tom and his dog Max went to the beach. They saw a big shell in the sand. Tom wanted to keep it, but a crab came out and said, "
        + "\"This is my home!\" Tom said sorry and gave it back. The crab was happy and showed them where the best shells were.\n";

    public static string Source => SharedData.Repository("samples/stories-llama");

    /// <summary>The finished checkpoint.</summary>
    public string Path => folder.File("AWQ-4bit");

    public AwqQuantizationResult Result { get; }

    /// <summary>A file with some text.</summary>
    public string Text { get; }

    public void Dispose() => folder.Dispose();
}
