using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Tests.Tuning;

public sealed class TuningSettingsTests
{
    /// <summary>A sixteenth, at most 8192 tokens; of a short text as much as it takes for 2048, but no more than a quarter.</summary>
    [Theory]
    [InlineData(1 << 20, 8192)]
    [InlineData(131_072, 8192)]
    [InlineData(32_768, 2048)]
    [InlineData(16_384, 2048)]
    [InlineData(8192, 2048)]
    [InlineData(4096, 1024)]
    [InlineData(400, 100)]
    public void WhatIsHeldOutIsEnoughToJudgeBy(long tokens, long heldOut) => Assert.Equal(heldOut, new TuningSettings().HeldOutOf(tokens));

    /// <summary>The short tuning of the default judges by 2048 tokens, whatever there is.</summary>
    [Theory]
    [InlineData(65_536)]
    [InlineData(1 << 20)]
    public void AShortTuningJudgesByFewer(long tokens) => Assert.Equal(2048, TuningSettings.Short(tokens)!.HeldOutOf(tokens));

    /// <summary>The CPU sees as many tokens of a large model as of a small one, in fewer steps, unless their number was asked for.</summary>
    [Theory]
    [InlineData(1 << 20, false, 600, 1024)]
    [InlineData(1 << 27, false, 150, 4096)]
    [InlineData(1 << 27, true, 600, 4096)]
    public void TheCpuMakesFewerAndLargerStepsWithLargeModels(long weights, bool asMany, int steps, int tokens)
    {
        var (usual, settings) = (new TuningSettings(), new TuningSettings().OnHost(weights, asMany));
        Assert.Equal((steps, tokens), (settings.Steps, settings.TokensPerStep));
        Assert.Equal(tokens > usual.TokensPerStep, settings.ScaleRate > usual.ScaleRate && settings.FloatRate > usual.FloatRate);
    }

    /// <summary>A device makes larger steps with large models, as many as were asked for, else as many tokens as it has the time for.</summary>
    [Theory]
    [InlineData(1 << 20, false, 600, 1024)]
    [InlineData(1 << 27, false, 300, 8192)]
    [InlineData(1 << 27, true, 600, 8192)]
    public void ADeviceMakesLargerSteps(long weights, bool asMany, int steps, int tokens)
    {
        var settings = new TuningSettings().OnDevice(weights, asMany, 5);
        Assert.Equal((steps, tokens, 5), (settings.Steps, settings.TokensPerStep, settings.MemoryBytes));
    }
}
