using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class ProgressMeterTests
{
    private readonly RecordingObserver observer = new();

    /// <summary>100 seconds before the layers, 100 for each of two, 600 of tuning; nothing has taken any time yet.</summary>
    [Fact]
    public void AllPartsOfARunCount()
    {
        var meter = new ProgressMeter(observer, "Quantising", 100, [100, 100], 600, 0);
        meter.Stage("begin");
        Says(0, 900);
        meter.Before("measuring", "", 0);
        Says(0, 900);
        meter.Begin(0);
        meter.Layer(0, "", 0);
        Says(1 / 9.0, 800);
        meter.Tuning("", 0);
        Says(3 / 9.0, 600);
        meter.Tuning("", 1);
        Says(1, 0);
        meter.Stage("end");
        Says(1, 0);
        Assert.Equal(2, observer.ProgressRecords[^1].Step);
    }

    /// <summary>A part of which nine tenths took no time will not take what was predicted for the rest; it may begin in the middle.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    public void WhatAPartHasTakenCorrectsThePrediction(double from)
    {
        var meter = new ProgressMeter(observer, "Quantising", 0, [], 1000, 0);
        meter.Tuning("", from);
        meter.Tuning("", from + 0.9 * (1 - from));
        // 2 % of the prediction stand against what was measured.
        Assert.InRange(observer.ProgressRecords[^1].Remaining!.Value.TotalSeconds, 0, 0.1 * 1000 * (1 - from) * 0.03);
    }

    [Fact]
    public void ARunThatIsTakenUpCountsWhatIsLeft()
    {
        var meter = new ProgressMeter(observer, "Quantising", 100, [100, 100], 600, 1);
        meter.Stage("begin");
        Says(2 / 9.0, 700);
        Assert.Equal(1, observer.ProgressRecords[^1].Step);
    }

    private void Says(double fraction, double seconds)
    {
        var last = observer.ProgressRecords[^1];
        Assert.Equal(fraction, last.Fraction, 6);
        Assert.InRange(last.Remaining?.TotalSeconds ?? 0, seconds, seconds * 1.5 + 1);
    }

    [Fact]
    public void ACommittedLayerIsALineOfTheLog()
    {
        var meter = new ProgressMeter(observer, "Quantising", 0, [600, 600], 0, 0);
        meter.Committed(0, 12.34, 640_000_000);
        Assert.Matches("^Layer 1 of 2: 12\\.3 s, 640 MB at most; about [0-9]+ (s|minutes) to go\\.$", observer.Decisions[^1]);
        meter.Committed(1, 12.34, 640_000_000);
        Assert.Equal("Layer 2 of 2: 12.3 s, 640 MB at most.", observer.Decisions[^1]);
    }
}
