using System.Diagnostics;
using System.Management.Automation;
using static AwqQuantize.Tests.Commands.SmallRun;

namespace AwqQuantize.Tests.Commands;

/// <summary>Many models: several at once, and again.</summary>
public sealed class FleetTests
{
    [Fact]
    public void AFolderOfGoodBadDoneAndUnfinishedModelsIsFinishedAndCanBeRepeated()
    {
        using var copy = new ModelCopy("bad", "done", "good", "other", "unfinished");
        File.WriteAllText(Path.Combine(copy["bad"], "config.json"), "{");
        using var session = new ModuleSession();
        session.Run($"Invoke-AwqQuantization $done {Small}; Invoke-AwqQuantization $other -NoCalibration", ("done", copy["done"]), ("other", copy["other"])).ThrowOnError();
        var before = File.GetLastWriteTimeUtc(Path.Combine(copy["done"], "AWQ-4bit", "model.safetensors"));
        Interrupt(session, copy["unfinished"]);
        var states = session.Run("Get-AwqModel $root | ForEach-Object { \"$($_.Name) $($_.Status)\" }", ("root", copy.Root)).ThrowOnError().Output.Select(o => o.ToString());
        Assert.Equal(["bad NotSupported", "done Done", "good Ready", "other Done", "unfinished Unfinished"], states);

        // The unfinished one began with the default rows, so it belongs to the command with those.
        var first = session.Run($"Invoke-AwqQuantization $root/[bdgo]* -Resume {Small} -InformationVariable said; $global:said = $said.MessageData", ("root", copy.Root));
        Assert.Equal(["done AlreadyDone", "good Quantized"], first.Output.Select(o => $"{Path.GetFileName((string)Value(o, "SourcePath")!)} {Value(o, "Status")}"));
        Assert.Equal(["JsonInvalid" + Class, "DestinationExists" + Class], first.Errors.Select(e => e.FullyQualifiedErrorId));
        Assert.Equal([copy["bad"], copy["other"]], first.Errors.Select(e => e.TargetObject));
        Assert.Contains("NoCalibration = True", first.Errors[1].Exception.Message);
        Assert.StartsWith("1 quantised, 1 done already, 2 failed, in ", session.Run("$global:said").Output.Single().ToString());
        Assert.Equal(before, File.GetLastWriteTimeUtc(Path.Combine(copy["done"], "AWQ-4bit", "model.safetensors")));
        Assert.Empty(Directory.GetFiles(copy.Root, "*.awq-run", SearchOption.AllDirectories));

        var again = session.Run($"Invoke-AwqQuantization $root/[dg]* -Resume {Small}", ("root", copy.Root)).ThrowOnError();
        Assert.All(again.Output, o => Assert.Equal("AlreadyDone", Value(o, "Status")!.ToString()));
        // What was found done says the same as what was made.
        foreach (var property in (string[])["Path", "Size", "SourceSize", "BitsPerWeight", "QuantizedModules", "Architecture", "GroupSize"])
            Assert.Equal(Value(first.Output[1], property), Value(again.Output[1], property));
        var planned = session.Run($"Invoke-AwqQuantization $good -Resume {Small} -WhatIf", ("good", copy["good"])).ThrowOnError();
        Assert.Empty(planned.Output);
    }

    [Fact]
    public void AnInterruptedRunGoesOnAndGivesTheBytesOfAnUndisturbedOne()
    {
        using var copy = new ModelCopy("m");
        using var whole = new ModelCopy("m");
        using var session = new ModuleSession();
        const string options = "-SampleCount 24 -SequenceLength 256 -ForceCpu";
        Interrupt(session, copy["m"], options);
        var resumed = Assert.Single(session.Run($"Invoke-AwqQuantization $path {options} -Resume", ("path", copy["m"])).ThrowOnError().Output);
        Assert.Equal("Resumed", Value(resumed, "Status")!.ToString());
        session.Run($"Invoke-AwqQuantization $path {options}", ("path", whole["m"])).ThrowOnError();
        AssertSameBytes(whole["m"], copy["m"]);
        Assert.Equal(["AWQ-4bit"], Directory.GetDirectories(copy["m"]).Select(Path.GetFileName));
    }

    [Fact]
    public void SeveralAtOnceGiveTheBytesOfOneAfterTheOtherAndBadOnesTheirErrors()
    {
        using var alone = new ModelCopy("a", "b", "c");
        using var together = new ModelCopy("a", "b", "broken", "c");
        File.WriteAllText(Path.Combine(together["broken"], "config.json"), "{");
        using var session = new ModuleSession();
        session.Run($"Invoke-AwqQuantization $root/* {Small}", ("root", alone.Root)).ThrowOnError();
        var run = session.Run($"Invoke-AwqQuantization $root/* {Small} -ThrottleLimit 3 -MemoryLimit 64GB", ("root", together.Root));
        Assert.Equal(["a", "b", "c"], run.Output.Select(o => Path.GetFileName((string)Value(o, "SourcePath")!)).Order());
        Assert.Equal(together["broken"], Assert.Single(run.Errors).TargetObject);
        foreach (var name in (string[])["a", "b", "c"])
            AssertSameBytes(alone[name], together[name]);
        // Every run's warnings say whose they are, and every bar that was shown is taken away.
        Assert.Equal(["a", "b", "c"], run.Warnings.Where(w => w.EndsWith("[FewCalibrationTokens]", StringComparison.Ordinal)).Select(w => w.Split(':')[0]).Order());
        Assert.NotEmpty(run.Progress);
        foreach (var id in run.Progress.Select(p => p.ActivityId).Distinct())
            Assert.Equal(ProgressRecordType.Completed, run.Progress.Last(p => p.ActivityId == id).RecordType);
        Assert.All(run.Progress.Where(p => p.ActivityId != 1), p => Assert.Equal(1, p.ParentActivityId));
    }

    [Fact]
    public void RunsThatDoNotFitTogetherWaitForEachOther()
    {
        using var copy = new ModelCopy("a", "b", "c");
        using var session = new ModuleSession();
        // Room for one at a time: nobody fails, and the second says that it waits. (Plain rounding would be over before it comes.)
        var run = session.Run("Invoke-AwqQuantization $root/* -SampleCount 16 -SequenceLength 256 -ForceCpu -ThrottleLimit 3 -MemoryLimit 250MB -Verbose", ("root", copy.Root)).ThrowOnError();
        Assert.Equal(3, run.Output.Count);
        Assert.Contains(run.Verbose, v => v.StartsWith("b needs about ", StringComparison.Ordinal));
    }

    [Fact]
    public void StoppingSeveralReturnsWithinASecondAndEachCanGoOn()
    {
        using var copy = new ModelCopy("a", "b");
        using var session = new ModuleSession();
        using (var shell = session.Shell("Invoke-AwqQuantization $root/* -SampleCount 32 -SequenceLength 512 -ForceCpu -ThrottleLimit 2 -MemoryLimit 64GB", ("root", copy.Root)))
        {
            using var working = new CountdownEvent(1);
            shell.Streams.Progress.DataAdded += (_, _) =>
            {
                if (!working.IsSet && shell.Streams.Progress.Any(p => p.ActivityId == 3))
                    working.Signal();
            };
            var pending = shell.BeginInvoke();
            Assert.True(working.Wait(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken), "the second run reported no progress");
            var watch = Stopwatch.StartNew();
            shell.Stop();
            Assert.InRange(watch.Elapsed.TotalSeconds, 0, 1);
            Assert.Throws<PipelineStoppedException>(() => shell.EndInvoke(pending));
        }
        var next = session.Run("Invoke-AwqQuantization $root/* -NoCalibration -Force -ThrottleLimit 2", ("root", copy.Root)).ThrowOnError();
        Assert.Equal(2, next.Output.Count);
    }

    [Fact]
    public void AnErrorFurtherDownThePipelineEndsTheOtherRuns()
    {
        using var copy = new ModelCopy("a", "b", "c");
        using var session = new ModuleSession();
        var run = session.Run("Invoke-AwqQuantization $root/* -NoCalibration -ThrottleLimit 2 | ForEach-Object { throw 'no more' }", ("root", copy.Root));
        Assert.Equal("no more", Assert.Single(run.Errors).Exception.Message);
        Assert.Single(session.Run("Invoke-AwqQuantization $path -NoCalibration -Force -OutputPath $out", ("path", copy["a"]), ("out", copy["again"])).ThrowOnError().Output);
    }

    /// <summary>Stops a run once its first layer is committed.</summary>
    private static void Interrupt(ModuleSession session, string model, string options = "-SampleCount 24 -SequenceLength 256 -ForceCpu")
    {
        using var shell = session.Shell($"Invoke-AwqQuantization $path {options}", ("path", model));
        var pending = shell.BeginInvoke();
        var part = Path.Combine(model, "AWQ-4bit.awq-run", "layer-00000.safetensors");
        Assert.True(SpinWait.SpinUntil(() => File.Exists(part) || pending.IsCompleted, TimeSpan.FromSeconds(120)));
        shell.Stop();
        Assert.Throws<PipelineStoppedException>(() => shell.EndInvoke(pending));
        Assert.False(Directory.Exists(Path.Combine(model, "AWQ-4bit")));
        // The engine may still be winding down; the folder is free when its lock is.
        Assert.True(SpinWait.SpinUntil(() => IsFree(Path.Combine(model, "AWQ-4bit.awq-run", "lock")), TimeSpan.FromSeconds(30)));
    }

    private static bool IsFree(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static void AssertSameBytes(string expected, string actual)
    {
        var (first, second) = (Contents(Path.Combine(expected, "AWQ-4bit")), Contents(Path.Combine(actual, "AWQ-4bit")));
        Assert.Equal(first.Keys.Order(), second.Keys.Order());
        Assert.All(first, f => Assert.Equal(f.Value, second[f.Key]));
    }
}
