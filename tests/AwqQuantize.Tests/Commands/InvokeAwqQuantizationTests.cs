using System.Collections.Concurrent;
using System.Diagnostics;
using System.Management.Automation;
using System.Runtime.Loader;
using static AwqQuantize.Tests.Commands.SmallRun;

namespace AwqQuantize.Tests.Commands;

public sealed class InvokeAwqQuantizationTests
{
    [Fact]
    public void QuantisesTheSampleAndLeavesTheSourceAsItWas()
    {
        using var copy = new ModelCopy("m");
        var before = Contents(copy["m"]);
        using var session = new ModuleSession();
        var run = session.Run($"Invoke-AwqQuantization $path {Small}", ("path", copy["m"])).ThrowOnError();
        var result = Assert.Single(run.Output);
        var destination = Path.Combine(copy["m"], "AWQ-4bit");
        Assert.Equal(destination, Value(result, "Path"));
        Assert.Equal(28, Value(result, "QuantizedModules"));
        Assert.Contains("\"quant_method\": \"awq\"", File.ReadAllText(Path.Combine(destination, "config.json")));
        Assert.True(File.Exists(Path.Combine(destination, "tokenizer.json")));
        Assert.Equal(["AWQ-4bit"], Directory.GetDirectories(copy["m"]).Select(Path.GetFileName));
        var after = Contents(copy["m"]);
        Assert.Equal(before.Keys.Order(), after.Keys.Order());
        Assert.All(before, f => Assert.Equal(f.Value, after[f.Key]));
        Assert.Contains(run.Warnings, w => w.EndsWith("[FewCalibrationTokens]", StringComparison.Ordinal));
        Assert.Equal(run.Warnings.Count, ((IReadOnlyCollection<string>)Value(result, "Warnings")!).Count);
        // After a real run, still nothing of third parties where other modules could meet it.
        Assert.DoesNotContain(AssemblyLoadContext.Default.Assemblies, a => a.GetName().Name is "TorchSharp" or "Google.Protobuf" or "Microsoft.ML.Tokenizers");
        Assert.Contains(Process.GetCurrentProcess().Modules.Cast<ProcessModule>(), m => m.FileName == Path.Combine(StagedModule.Natives, "libtorch_cpu.so"));
        // The next one recognises it.
        var found = session.Run("Get-AwqModel $path", ("path", destination)).ThrowOnError().Output.Single();
        Assert.Equal("awq", Value(found, "Quantization"));
    }

    [Fact]
    public void ProgressComesInTwoLevelsAndIsCompleted()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var watch = Stopwatch.StartNew();
        var run = session.Run($"Invoke-AwqQuantization $path {Small} -SampleCount 24".Replace("-SampleCount 2 ", ""), ("path", copy["m"])).ThrowOnError();
        var elapsed = watch.Elapsed;
        Assert.NotEmpty(run.Progress);
        Assert.All(run.Progress, p => Assert.InRange(p.PercentComplete, -1, 100));
        foreach (var id in run.Progress.Select(p => p.ActivityId).Distinct())
            Assert.Equal(ProgressRecordType.Completed, run.Progress.Last(p => p.ActivityId == id).RecordType);
        var outer = run.Progress.Where(p => p.ActivityId == 1 && p.RecordType == ProgressRecordType.Processing).ToList();
        Assert.All(run.Progress.Where(p => p.ActivityId == 2), p => Assert.Equal(1, p.ParentActivityId));
        Assert.InRange(outer.Count, 1, 2 + elapsed.TotalSeconds * 4);
    }

    [Fact]
    public void OneBadModelDoesNotEndThePipeline()
    {
        using var copy = new ModelCopy("a", "b", "c");
        File.Delete(Path.Combine(copy["b"], "model.safetensors"));
        using var session = new ModuleSession();
        var run = session.Run("Invoke-AwqQuantization $root/* -NoCalibration -InformationVariable said; $global:said = $said.MessageData", ("root", copy.Root));
        Assert.Equal([copy["a"], copy["c"]], run.Output.Select(o => (string)Value(o, "SourcePath")!));
        var error = Assert.Single(run.Errors);
        Assert.Equal("CheckpointMissing" + Class, error.FullyQualifiedErrorId);
        Assert.Equal(copy["b"], error.TargetObject);
        Assert.StartsWith("2 quantised, 1 failed, in ", session.Run("$global:said").Output.Single().ToString());
    }

    [Fact]
    public void AnExistingDestinationNeedsForce()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        session.Run("Invoke-AwqQuantization $path -NoCalibration", ("path", copy["m"])).ThrowOnError();
        var refused = session.Run("Invoke-AwqQuantization $path -NoCalibration", ("path", copy["m"]));
        var error = Assert.Single(refused.Errors);
        Assert.Equal(("DestinationExists" + Class, ErrorCategory.ResourceExists), (error.FullyQualifiedErrorId, error.CategoryInfo.Category));
        Assert.Contains("-Force", error.ErrorDetails.RecommendedAction);
        Assert.Empty(refused.Output);
        Assert.Single(session.Run("Invoke-AwqQuantization $path -NoCalibration -Force", ("path", copy["m"])).ThrowOnError().Output);
    }

    [Fact]
    public void WhatIfChecksPlansAndWritesNothing()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var run = session.Run("Invoke-AwqQuantization $path -WhatIf", ("path", copy["m"])).ThrowOnError();
        Assert.Empty(run.Output);
        Assert.Empty(Directory.GetDirectories(copy["m"]));
        Assert.Equal(["m"], Directory.GetDirectories(copy.Root).Select(Path.GetFileName));
        var preference = session.Run("& { $WhatIfPreference = $true; Invoke-AwqQuantization $path }", ("path", copy["m"])).ThrowOnError();
        Assert.Empty(preference.Output);
        Assert.Empty(Directory.GetDirectories(copy["m"]));
        File.Delete(Path.Combine(copy["m"], "config.json"));
        Assert.Equal("ModelConfigMissing", session.Run("Invoke-AwqQuantization $path -WhatIf", ("path", copy["m"])).ErrorId);
    }

    [Fact]
    public void DestinationsOfAPipeline()
    {
        using var copy = new ModelCopy("a", "b");
        using var session = new ModuleSession();
        var each = session.Run("Get-AwqModel $root | Invoke-AwqQuantization -NoCalibration -OutputPath { \"$root/out/$($_.Name)\" }", ("root", copy.Root)).ThrowOnError();
        Assert.Equal([copy["out/a"], copy["out/b"]], each.Output.Select(o => (string)Value(o, "Path")!));
        var shared = session.Run("Get-AwqModel $root | Invoke-AwqQuantization -NoCalibration -OutputPath $root/one", ("root", copy.Root));
        Assert.Equal(copy["one"], Value(Assert.Single(shared.Output), "Path"));
        Assert.Equal("OutputPathShared", shared.ErrorId);
    }

    [Fact]
    public void NamesWithWildcardCharactersAndRelativePaths()
    {
        using var copy = new ModelCopy("odd [4bit] ünï");
        using var session = new ModuleSession();
        session.Run("$null = $ExecutionContext.SessionState.Path.SetLocation($root)", ("root", copy.Root)).ThrowOnError();
        var run = session.Run("Invoke-AwqQuantization -LiteralPath 'odd [4bit] ünï' -OutputPath 'out [x]' -NoCalibration").ThrowOnError();
        Assert.Equal(copy["out [x]"], Value(Assert.Single(run.Output), "Path"));
        Assert.True(File.Exists(Path.Combine(copy["out [x]"], "config.json")));
    }

    [Theory]
    [InlineData("-ForceCpu -Device cuda", "OptionsContradict")]
    [InlineData("-NoCalibration -SampleCount 4", "OptionsContradict")]
    [InlineData("-CalibrationData /nowhere.txt", "PathNotFound")]
    [InlineData("-ArchitecturePath /nowhere", "PathNotFound")]
    [InlineData("-MaxBitsPerWeight 5", "OptionsContradict")]
    [InlineData("-NoCalibration -TuningStepCount 5", "OptionsContradict")]
    [InlineData("-TuningStepCount -1", "ParameterArgumentValidationError")]
    [InlineData("-MaxQuality -MaxBitsPerWeight 3", "ParameterArgumentValidationError")]
    [InlineData("-GroupSize 100", "ParameterArgumentValidationError")]
    [InlineData("-ForceCpu -Device cuda:0,cuda:1", "OptionsContradict")]
    [InlineData("-Device tpu", "ParameterArgumentValidationError")]
    [InlineData("-Device cpu,cuda:0", "ParameterArgumentValidationError")]
    [InlineData("-TorchLibraryPath /nowhere", "TorchLibraryMissing")]
    [InlineData("-MemoryLimit lots", "ParameterArgumentTransformationError")]
    [InlineData("-MemoryLimit 5", "ParameterArgumentValidationError")]
    public void OptionsThatMakeNoSenseEndTheCmdlet(string options, string id)
    {
        using var session = new ModuleSession();
        // One error for two models: the cmdlet does not get to the first.
        var run = session.Run($"Invoke-AwqQuantization $sample, $sample -WhatIf {options}", ("sample", StagedModule.Sample));
        Assert.Equal(id, run.ErrorId);
        Assert.Empty(run.Output);
    }

    [Fact]
    public void MaxQualityKeepsLinearsInFloat16WithinItsBudget()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        var run = session.Run("Invoke-AwqQuantization $path -MaxQuality -MaxBitsPerWeight 5 -TuningStepCount 3 -SampleCount 2 -SequenceLength 64", ("path", copy["m"])).ThrowOnError();
        var result = Assert.Single(run.Output);
        Assert.Equal(copy["m/AWQ-4bit-MAX"], Value(result, "Path"));
        Assert.InRange((double)Value(result, "BitsPerWeight")!, 4.2, 5);
        var tuning = PSObject.AsPSObject(Value(result, "Tuning")!);
        Assert.Equal(3, Value(tuning, "Steps"));
        Assert.True((double)Value(tuning, "KlAfter")! <= (double)Value(tuning, "KlBefore")!);
        Assert.NotEmpty((System.Collections.IEnumerable)Value(result, "FloatModules")!);
        Assert.True(session.Run("Test-AwqOutput $made -Quiet", ("made", copy["m/AWQ-4bit-MAX"])).ThrowOnError().Output.Single().BaseObject is true);
    }

    [Theory]
    [InlineData("24GB", 24L << 30)]
    [InlineData("1.5 GiB", 3L << 29)]
    [InlineData("800 mb", 800L << 20)]
    [InlineData("1048576", 1L << 20)]
    public void SizesAreTakenAsTextToo(string text, long bytes)
    {
        using var session = new ModuleSession();
        Assert.Equal(bytes, session.Run("[AwqQuantize.Binding.ByteSizeAttribute]::Parse($text)", ("text", text)).ThrowOnError().Output[0].BaseObject);
    }

    [Fact]
    public void StoppingReturnsWithinASecondAndLeavesNoDestination()
    {
        using var copy = new ModelCopy("m");
        using var session = new ModuleSession();
        using var shell = session.Shell("Invoke-AwqQuantization $path -SampleCount 32 -SequenceLength 512", ("path", copy["m"]));
        using var working = new ManualResetEventSlim();
        shell.Streams.Progress.DataAdded += (_, _) => working.Set();
        var pending = shell.BeginInvoke();
        Assert.True(working.Wait(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken), "no progress was reported");
        var watch = Stopwatch.StartNew();
        shell.Stop();
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 1);
        Assert.Throws<PipelineStoppedException>(() => shell.EndInvoke(pending));
        Assert.False(Directory.Exists(Path.Combine(copy["m"], "AWQ-4bit")));
        // The engine's thread is free again, and the same runspace goes on.
        Assert.Single(session.Run("Invoke-AwqQuantization $path -NoCalibration -Force", ("path", copy["m"])).ThrowOnError().Output);
    }

    [Fact]
    public void TwoRunspacesAtOnceGiveTheSameBytes()
    {
        // Of the same name in two folders, as the report's data names the model.
        using var here = new ModelCopy("m");
        using var there = new ModelCopy("m");
        var errors = new ConcurrentQueue<Exception>();
        Parallel.ForEach((string[])[here["m"], there["m"]], path =>
        {
            try
            {
                using var session = new ModuleSession();
                session.Run($"Invoke-AwqQuantization $path {Small}", ("path", path)).ThrowOnError();
            }
            catch (Exception e)
            {
                errors.Enqueue(e);
            }
        });
        Assert.Empty(errors);
        var (first, second) = (Contents(Path.Combine(here["m"], "AWQ-4bit")), Contents(Path.Combine(there["m"], "AWQ-4bit")));
        Assert.Equal(first.Keys.Order(), second.Keys.Order());
        Assert.All(first, f => Assert.Equal(f.Value, second[f.Key]));
    }

    [Fact]
    public void CompletionOffersDevicesAndModules()
    {
        using var session = new ModuleSession();
        var line = $"Invoke-AwqQuantization '{StagedModule.Sample}' -Device c";
        var devices = session.Run("[System.Management.Automation.CommandCompletion]::CompleteInput($line, $line.Length, $null).CompletionMatches.CompletionText", ("line", line)).ThrowOnError();
        Assert.Contains("cpu", devices.Output.Select(o => o.ToString()));
        line = $"Invoke-AwqQuantization -Path '{StagedModule.Sample}' -ExcludeModule down";
        var modules = session.Run("[System.Management.Automation.CommandCompletion]::CompleteInput($line, $line.Length, $null).CompletionMatches.CompletionText", ("line", line)).ThrowOnError();
        Assert.Equal(["'*.mlp.down_proj'"], modules.Output.Select(o => o.ToString()));
        line = $"Invoke-AwqQuantization -Path '{StagedModule.Sample}' -ExcludeModule s.3.self_attn.";
        var one = session.Run("[System.Management.Automation.CommandCompletion]::CompleteInput($line, $line.Length, $null).CompletionMatches.CompletionText", ("line", line)).ThrowOnError();
        Assert.Equal(new[] { "k", "o", "q", "v" }.Select(p => $"model.layers.3.self_attn.{p}_proj"), one.Output.Select(o => o.ToString()));
    }
}
