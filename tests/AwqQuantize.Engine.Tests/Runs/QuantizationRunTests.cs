using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class QuantizationRunTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    private string Sample => Path.Combine(SharedData.RepositoryRoot, "samples", "stories-llama");

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void MakesACompleteFolderAndLeavesNothingElse()
    {
        var observer = new RecordingObserver();
        var result = QuantizationRun.Execute(Options("out"), observer, default);
        var folder = Path.Combine(temporary.Path, "out");
        Assert.Equal(folder, result.Path);
        Assert.Equal(["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
            Directory.GetFiles(folder).Select(f => Path.GetFileName(f)).Where(f => f is not "README.md" and not "awq-report.json").Order());
        Assert.Equal([folder], Directory.GetFileSystemEntries(temporary.Path));
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!;
        Assert.Equal("float16", (string?)config["torch_dtype"]);
        Assert.Equal("""{"quant_method":"awq","bits":4,"group_size":64,"zero_point":true,"version":"gemm","modules_to_not_convert":["lm_head"]}""", config["quantization_config"]!.ToJsonString());
        using var model = ModelFolder.Open(folder);
        Assert.Equal(28, model.Tensors.Keys.Count(k => k.EndsWith(".qweight")));
        Assert.Equal(28, result.QuantizedModules);
        Assert.Equal([128L, 16L], model.Tensors["model.layers.0.self_attn.q_proj.qweight"].Shape);
        Assert.Equal([2L, 16L], model.Tensors["model.layers.0.self_attn.q_proj.qzeros"].Shape);
        Assert.Equal([2L, 128L], model.Tensors["model.layers.0.self_attn.q_proj.scales"].Shape);
        Assert.Equal(TensorDtype.F16, model.Tensors["model.embed_tokens.weight"].Dtype);
        Assert.DoesNotContain("lm_head.weight", model.Tensors.Keys);
        Assert.Equal(4 + 16.0 / 64 + 4.0 / 64, result.BitsPerWeight, 6);
        Assert.All(result.Layers, l => Assert.All(l.Groups, g => Assert.True(g.Loss <= g.IdentityLoss)));
        Assert.All(result.Layers.SelectMany(l => l.Groups), g => Assert.InRange(g.FoldError, 0, 1e-3));
        Assert.Contains(observer.Warnings, w => w.Id == "FewCalibrationTokens");
        Assert.Equal(1, observer.ProgressRecords[^1].Fraction);
    }

    [Fact]
    public void SameInputGivesTheSameBytesAlsoWhenStoppedAtAnyStage()
    {
        QuantizationRun.Execute(Options("a"), new RecordingObserver(), default);
        var expected = Hash("a");
        var random = new Random(5);
        var stages = 0;
        for (var attempt = 0; attempt < 40 && !Directory.Exists(Path.Combine(temporary.Path, "b")); attempt++)
        {
            using var cancel = new CancellationTokenSource();
            var left = random.Next(5, 30);
            try
            {
                QuantizationRun.Execute(Options("b"), new RecordingObserver(), cancel.Token, _ =>
                {
                    stages++;
                    if (--left == 0)
                        cancel.Cancel();
                });
            }
            catch (OperationCanceledException)
            {
                Assert.True(Directory.Exists(Path.Combine(temporary.Path, "b.awq-run")));
                Assert.False(Directory.Exists(Path.Combine(temporary.Path, "b")));
            }
        }
        Assert.True(stages > 40, "it was never taken up");
        Assert.Equal(expected, Hash("b"));
        Assert.False(Directory.Exists(Path.Combine(temporary.Path, "b.awq-run")));
    }

    [Theory]
    [InlineData("assembling")]
    [InlineData("placing")]
    [InlineData("placed")]
    public void ARunThatEndedWhileItsCheckpointWasPutInPlaceIsEndedByTheSameCommand(string stage)
    {
        var whole = QuantizationRun.Execute(Options("a"), new RecordingObserver(), default);
        Assert.Throws<InvalidOperationException>(() => QuantizationRun.Execute(Options("b"), new RecordingObserver(), default, s =>
        {
            if (s == stage)
                throw new InvalidOperationException(s);
        }));
        Assert.True(Directory.Exists(Path.Combine(temporary.Path, "b.awq-run")));
        Assert.Equal(stage == "placed", Directory.Exists(Path.Combine(temporary.Path, "b")));
        var ended = QuantizationRun.Execute(Options("b"), new RecordingObserver(), default);
        Assert.Equal(Hash("a"), Hash("b"));
        Assert.Equal(whole.QuantizedModules, ended.QuantizedModules);
        Assert.Equal(["a", "b"], Directory.GetFileSystemEntries(temporary.Path).Select(Path.GetFileName).Order());
        Assert.Equal("DestinationExists", Error(Options("b")).Id);
    }

    /// <summary>Two runs found no destination, and the other one was quicker.</summary>
    [Fact]
    public void WhatAnotherRunFinishedMeanwhileIsNotReplaced()
    {
        void Other(string stage)
        {
            if (stage == "opening")
                QuantizationRun.Execute(Options("out"), new RecordingObserver(), default);
        }
        Assert.Equal("DestinationExists", Assert.Throws<AwqException>(() => QuantizationRun.Execute(Options("out"), new RecordingObserver(), default, Other)).Id);
        Assert.Equal(["out"], Directory.GetFileSystemEntries(temporary.Path).Select(Path.GetFileName));
        Directory.Delete(Path.Combine(temporary.Path, "out"), recursive: true);
        Assert.Equal(RunStatus.AlreadyDone, QuantizationRun.Execute(Options("out") with { Resume = true }, new RecordingObserver(), default, Other).Status);
        Assert.Equal(["out"], Directory.GetFileSystemEntries(temporary.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void OtherOptionsDoNotTakeUpARun()
    {
        Stop(Options("out"));
        var error = Assert.Throws<AwqException>(() => QuantizationRun.Execute(Options("out") with { GroupSize = 32 }, new RecordingObserver(), default));
        Assert.Equal("RunOptionsDiffer", error.Id);
        Assert.Contains("GroupSize = 64", error.Message);
        Assert.Contains("32", error.Message);
        QuantizationRun.Execute(Options("out") with { GroupSize = 32, Force = true }, new RecordingObserver(), default);
        Assert.True(File.Exists(Path.Combine(temporary.Path, "out", "model.safetensors")));
    }

    [Theory]
    [InlineData("statistics")]
    [InlineData("factor")]
    [InlineData("search")]
    [InlineData("rounding")]
    [InlineData("propagation")]
    public void RunsOutOfMemoryOnceAtAStageAndGoesOn(string stage)
    {
        QuantizationRun.Execute(Options("a"), new RecordingObserver(), default);
        var failed = false;
        var observer = new RecordingObserver();
        QuantizationRun.Execute(Options("b"), observer, default, s =>
        {
            if (failed || s != stage)
                return;
            failed = true;
            throw new ExternalException("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.");
        });
        Assert.True(failed);
        Assert.Contains(observer.Warnings, w => w.Id == "MicroBatchReduced");
        Assert.Equal(Hash("a").Length, Hash("b").Length);
    }

    [Fact]
    public void RetreatsToShorterSequencesAndEndsWithAClearErrorBelow64()
    {
        var observer = new RecordingObserver();
        var left = 4; // 4 rows at once → 2 → 1 → on disk → 64 tokens
        var result = QuantizationRun.Execute(Options("a"), observer, default, s =>
        {
            if (s == "propagation" && left-- > 0)
                throw new ExternalException("CUDA out of memory. Tried to allocate 20.00 MiB");
        });
        Assert.Equal(["MicroBatchReduced", "MicroBatchReduced", "HiddenStatesOnDisk", "SequenceLengthReduced"],
            observer.Warnings.Select(w => w.Id).Where(id => id != "FewCalibrationTokens").Take(4));
        Assert.Equal(64, result.Layers[^1].SequenceLength);

        var error = Assert.Throws<AwqException>(() => QuantizationRun.Execute(Options("b"), new RecordingObserver(), default, s =>
        {
            if (s == "statistics")
                throw new OutOfMemoryException();
        }));
        Assert.Equal("OutOfMemory", error.Id);
        Assert.True(Directory.Exists(Path.Combine(temporary.Path, "b.awq-run")));
        QuantizationRun.Execute(Options("b"), new RecordingObserver(), default);
        Assert.True(Directory.Exists(Path.Combine(temporary.Path, "b")));
    }

    [Fact]
    public void RefusesADestinationThatExistsOrIsTheSource()
    {
        Directory.CreateDirectory(Path.Combine(temporary.Path, "out"));
        File.WriteAllText(Path.Combine(temporary.Path, "out", "mine.txt"), "kept");
        Assert.Equal("DestinationExists", Error(Options("out")).Id);
        Assert.Equal("kept", File.ReadAllText(Path.Combine(temporary.Path, "out", "mine.txt")));
        Assert.Equal("DestinationIsSource", Error(Options("out") with { OutputPath = Sample }).Id);
        Assert.Equal("DestinationIsSource", Error(Options("out") with { OutputPath = Path.GetDirectoryName(Sample) }).Id);
    }

    [Fact]
    public void NamesNonFiniteWeightsAndLeavesNoDestination()
    {
        var source = Path.Combine(temporary.Path, "source");
        Directory.CreateDirectory(source);
        foreach (var file in Directory.GetFiles(Sample))
            File.Copy(file, Path.Combine(source, Path.GetFileName(file)));
        long offset;
        using (var model = ModelFolder.Open(source))
            offset = model.Tensors["model.layers.2.mlp.up_proj.weight"].Offset;
        using (var stream = new FileStream(Path.Combine(source, "model.safetensors"), FileMode.Open))
        {
            var header = new byte[8];
            stream.ReadExactly(header);
            stream.Position = offset < BitConverter.ToInt64(header) ? offset + 8 + BitConverter.ToInt64(header) : offset;
            stream.Write([0xC0, 0x7F]);
        }
        var error = Error(Options("out") with { ModelPath = source });
        Assert.Contains(error.Id, new[] { "TensorNotFinite", "FloatModelInsane" });
        Assert.False(Directory.Exists(Path.Combine(temporary.Path, "out")));
    }

    [Fact]
    public void WithoutCalibrationEveryWeightIsWithinHalfAStep()
    {
        QuantizationRun.Execute(Options("out") with { NoCalibration = true }, new RecordingObserver(), default);
        using var source = ModelFolder.Open(Sample);
        using var made = ModelFolder.Open(Path.Combine(temporary.Path, "out"));
        var module = "model.layers.1.mlp.down_proj";
        var weights = new float[128 * 384];
        source.ReadFloat(module + ".weight", weights);
        var (codes, zeros, scales) = (Ints(made, module + ".qweight"), Ints(made, module + ".qzeros"), Halves(made, module + ".scales"));
        int[] shift = [0, 16, 4, 20, 8, 24, 12, 28];
        for (var o = 0; o < 128; o++)
            for (var i = 0; i < 384; i++)
            {
                var code = codes[i * 16 + o / 8] >> shift[o % 8] & 15;
                var zero = zeros[i / 64 * 16 + o / 8] >> shift[o % 8] & 15;
                var scale = (float)scales[i / 64 * 128 + o];
                Assert.InRange(Math.Abs(weights[o * 384 + i] - (code - zero) * scale), 0, 1.01f * scale);
            }
    }

    [Fact]
    public void AnUnfinishedRunHoldsTheReportOfItsFinishedLayers()
    {
        Stop(Options("out"));
        var report = ReportFile.Read(Path.Combine(temporary.Path, "out.awq-run"));
        Assert.NotEmpty(report.Layers);
        Assert.All(report.Layers, l =>
        {
            Assert.True(l.PeakMemory > 50L << 20);
            Assert.Contains("search", l.Seconds.Keys);
            Assert.Equal(128, l.SequenceLength);
            Assert.All(l.Linears, x => Assert.InRange(x.RoundingGain!.Value, 0, 1));
        });
    }

    [Fact]
    public void AHeldLockIsAnError()
    {
        Stop(Options("out"));
        using var held = new FileStream(Path.Combine(temporary.Path, "out.awq-run", "lock"), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        Assert.Equal("RunLocked", Error(Options("out")).Id);
    }

    private static unsafe int[] Ints(ModelFolder model, string name) => new ReadOnlySpan<int>(model.Pointer(name), (int)model.Tensors[name].ElementCount).ToArray();

    private static unsafe Half[] Halves(ModelFolder model, string name) => new ReadOnlySpan<Half>(model.Pointer(name), (int)model.Tensors[name].ElementCount).ToArray();

    private AwqException Error(QuantizationOptions options) => Assert.Throws<AwqException>(() => QuantizationRun.Execute(options, new RecordingObserver(), default));

    /// <summary>Leaves an unfinished run behind.</summary>
    private static void Stop(QuantizationOptions options)
    {
        using var cancel = new CancellationTokenSource();
        var stages = 0;
        Assert.Throws<OperationCanceledException>(() => QuantizationRun.Execute(options, new RecordingObserver(), cancel.Token, _ =>
        {
            if (++stages == 30)
                cancel.Cancel();
        }));
    }

    private QuantizationOptions Options(string output) => new()
    {
        ModelPath = Sample, ModuleRoot = Path.Combine(SharedData.RepositoryRoot, "module"), OutputPath = Path.Combine(temporary.Path, output),
        ForceCpu = true, GroupSize = 64, SampleCount = 4, SequenceLength = 128, CalibrationData = [Path.Combine(SharedData.RepositoryRoot, "module", "Calibration", "narrative.txt")],
    };

    private string Hash(string output) => string.Join("\n", Directory.GetFiles(Path.Combine(temporary.Path, output)).Order()
        .Where(f => Path.GetFileName(f) != "awq-report.json").Select(f => Path.GetFileName(f) + " " + Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(f)))));
}
