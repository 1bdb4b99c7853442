using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.Loader;

namespace AwqQuantize.Tests.Isolation;

public sealed class ImportTests
{
    private const string TouchTorch = "$null = Get-AwqModel /; [AwqQuantize.Engine.Layers.IActivationObserver].GetMethods() | ForEach-Object { $_.GetParameters().ParameterType.FullName }";

    [Fact]
    public void ImportsTheStagedModuleWithTheVersionOfTheBuild()
    {
        using var session = new ModuleSession();
        var module = Assert.Single(session.Run("Get-Module AwqQuantize").ThrowOnError().Output);
        Assert.Equal(Path.GetFileName(StagedModule.Root), module.Properties["Version"].Value.ToString());
        var exported = session.Run("(Get-Module AwqQuantize).ExportedCmdlets.Keys").Output.Select(o => o.ToString()!).Order();
        var declared = session.Run("(Test-ModuleManifest $manifest).ExportedCmdlets.Keys", ("manifest", StagedModule.Manifest)).ThrowOnError();
        Assert.NotEmpty(exported);
        Assert.Equal(declared.Output.Select(o => o.ToString()!).Order(), exported);
    }

    [Fact]
    public void ThirdPartyAssembliesLiveInTheirOwnContext()
    {
        using var session = new ModuleSession();
        var types = session.Run(TouchTorch).ThrowOnError().Output;
        Assert.Contains(types, t => t.ToString()!.Contains("TorchSharp"));
        var torch = AssemblyLoadContext.All.SelectMany(c => c.Assemblies.Select(a => (Context: c, Assembly: a)))
            .Where(p => p.Assembly.GetName().Name == "TorchSharp").ToList();
        Assert.Equal("AwqQuantize dependencies", Assert.Single(torch).Context.Name);
        Assert.DoesNotContain(AssemblyLoadContext.Default.Assemblies, a => a.GetName().Name is "TorchSharp" or "Google.Protobuf" or "Microsoft.ML.Tokenizers");
        Assert.Contains(AssemblyLoadContext.Default.Assemblies, a => a.GetName().Name == "AwqQuantize.Engine");
    }

    [Fact]
    public void OthersDoNotGetTheModulesDependencies()
    {
        using var session = new ModuleSession();
        session.Run(TouchTorch).ThrowOnError();
        Assert.Throws<FileNotFoundException>(() => Assembly.Load("TorchSharp"));
    }

    [Fact]
    public void ForcedImportsAndRemovalLeaveItWorking()
    {
        using var session = new ModuleSession();
        for (var i = 0; i < 2; i++)
        {
            session.Run("Import-Module $manifest -Force", ("manifest", StagedModule.Manifest)).ThrowOnError();
            Assert.Single(session.Run("Get-AwqModel $sample", ("sample", StagedModule.Sample)).ThrowOnError().Output);
        }
        session.Run("Remove-Module AwqQuantize; Import-Module $manifest", ("manifest", StagedModule.Manifest)).ThrowOnError();
        var info = Assert.Single(session.Run("Get-AwqModel $sample", ("sample", StagedModule.Sample)).ThrowOnError().Output);
        Assert.True((bool)session.Run("$info -is [AwqQuantize.Engine.Runs.AwqModelInfo]", ("info", info)).Output[0].BaseObject);
    }

    [Fact]
    public void ManyRunspacesAtOnce()
    {
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, _ =>
        {
            using var session = new ModuleSession();
            session.Run(TouchTorch).ThrowOnError();
            Assert.Single(session.Run("Get-AwqModel $sample", ("sample", StagedModule.Sample)).ThrowOnError().Output);
        });
    }

    [Fact]
    public void ImportIsQuickAndLoadsNeitherNativesNorDependencies()
    {
        // In processes of their own, as this one has the engine loaded; the best of three, as the machine has other work too.
        var runs = Enumerable.Range(0, 3).Select(_ => ProbeInOwnProcess()).ToList();
        Assert.All(runs, r => Assert.Equal((0, 0), (r.Natives, r.Dependencies)));
        Assert.InRange(runs.Min(r => r.Milliseconds), 0, 150);
    }

    private static (double Milliseconds, int Natives, int Dependencies) ProbeInOwnProcess()
    {
        var answer = Path.GetTempFileName();
        try
        {
            var start = new ProcessStartInfo("dotnet", [typeof(ImportTests).Assembly.Location, "-method", $"*.{nameof(ImportProbe)}.{nameof(ImportProbe.Measure)}", "-explicit", "only"])
            {
                RedirectStandardOutput = true,
                Environment = { [ImportProbe.AnswerVariable] = answer },
            };
            using var probe = Process.Start(start)!;
            var output = probe.StandardOutput.ReadToEnd();
            probe.WaitForExit();
            Assert.True(probe.ExitCode == 0, output);
            var numbers = File.ReadAllText(answer).Split(' ').Select(n => double.Parse(n, CultureInfo.InvariantCulture)).ToArray();
            return (numbers[0], (int)numbers[1], (int)numbers[2]);
        }
        finally
        {
            File.Delete(answer);
        }
    }
}
