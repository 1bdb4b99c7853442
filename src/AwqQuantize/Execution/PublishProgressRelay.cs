using AwqQuantize.Engine.Publishing;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Execution;

/// <summary>Tells a cmdlet how far a publication is, in the terms of a run.</summary>
internal sealed class PublishProgressRelay(string activity, IRunObserver observer) : IProgress<PublishProgress>
{
    private static readonly int Stages = Enum.GetValues<PublishStage>().Length;

    public void Report(PublishProgress value)
    {
        var fraction = value.BytesTotal > 0 ? (double)value.BytesDone / value.BytesTotal : 0;
        var stage = (int)value.Stage;
        observer.Progress(new RunProgress(activity, $"{value.Stage}: {Display.Size(value.BytesDone)} of {Display.Size(value.BytesTotal)}",
            stage, Stages, fraction, null, value.File.Length > 0 ? value.File : null, null));
    }
}
