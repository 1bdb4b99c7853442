using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class ProgressMeterTests
{
    private readonly RecordingObserver observer = new();

    /// <summary>What comes before and after the layers tells its own time left; it may begin in the middle, where a run is taken up again.</summary>
    [Fact]
    public void AStageTellsWhatIsLeftByWhatItHasTaken()
    {
        var meter = new ProgressMeter(observer, "Quantising", [1, 1], 0);
        meter.Before("measuring", "", 0.4);
        Assert.Null(observer.ProgressRecords[^1].Remaining);
        Thread.Sleep(60);
        meter.Before("measuring", "", 0.7);
        // Three tenths took at least 60 ms, and as much is left.
        Assert.True(observer.ProgressRecords[^1].Remaining >= TimeSpan.FromMilliseconds(59));
        meter.Tuning("", 0.7);
        Assert.Null(observer.ProgressRecords[^1].Remaining);
    }

    [Fact]
    public void ACommittedLayerIsALineOfTheLog()
    {
        var meter = new ProgressMeter(observer, "Quantising", [600, 600], 0);
        meter.Committed(0, 12.34, 640_000_000);
        Assert.Matches("^Layer 1 of 2: 12\\.3 s, 640 MB at most; about [0-9]+ (s|minutes) to go\\.$", observer.Decisions[^1]);
        meter.Committed(1, 12.34, 640_000_000);
        Assert.Equal("Layer 2 of 2: 12.3 s, 640 MB at most.", observer.Decisions[^1]);
    }
}
