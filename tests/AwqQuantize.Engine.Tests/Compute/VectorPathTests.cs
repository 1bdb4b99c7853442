using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics;
using System.Text.RegularExpressions;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Engine.Tests.Awq;
using AwqQuantize.Engine.Tests.Checkpoints;
using AwqQuantize.Engine.Tests.Packing;
using AwqQuantize.Engine.Tests.Runs;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>
/// Every vectorised loop at each width that processors have: their tests run again in processes whose runtime is kept from the wider
/// instructions, or made to use the widest, and plain rounding gives the same bytes in all of them.
/// </summary>
public sealed partial class VectorPathTests(ITestOutputHelper output) : IDisposable
{
    private static readonly Type[] TestsOfLoops = [typeof(RoundingTests), typeof(ScaleSearchTests), typeof(AwqPackingTests), typeof(FloatConversionTests)];

    private readonly TemporaryFolder temporary = new();

    /// <summary>What the runtime is told, and the bits of its vectors then; 512 only where the processor has them.</summary>
    public static TheoryData<string, int> Paths => new()
    {
        { "DOTNET_MaxVectorTBitWidth=512", Vector512.IsHardwareAccelerated ? 512 : 256 },
        { "DOTNET_EnableAVX512=0;DOTNET_EnableAVX512F=0", 256 },
        { "DOTNET_EnableAVX2=0", 128 },
        { "DOTNET_EnableHWIntrinsic=0", 128 },
    };

    public void Dispose() => temporary.Dispose();

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task LoopsPassTheirTestsAtThisWidth(string setting, int bits)
    {
        if (!Vector256.IsHardwareAccelerated)
            Assert.Skip("this processor has one width only");
        var variables = setting.Split(';').Select(s => s.Split('=')).ToDictionary(s => s[0], s => s[1]);
        Assert.Equal($"vectors of {bits} bits, 256: {bits >= 256}, 512: {bits == 512}", (await Run(RunProcess.Host, ["vectors"], variables)).Trim());

        var tests = Path.Combine(AppContext.BaseDirectory, "AwqQuantize.Engine.Tests" + (OperatingSystem.IsWindows() ? ".exe" : ""));
        var said = await Run(tests, [.. TestsOfLoops.SelectMany(t => new[] { "-class", t.FullName! }), "-noColor"], variables);
        var total = int.Parse(Total().Match(said).Groups[1].Value, CultureInfo.InvariantCulture);
        output.WriteLine($"{setting}: {total} tests");
        Assert.True(total > 40, said);

        var options = new QuantizationOptions
        {
            ModelPath = SharedData.Repository("samples/stories-llama"), ModuleRoot = SharedData.Repository("module"), OutputPath = temporary.File("here"), GroupSize = 64, NoCalibration = true,
        };
        QuantizationRun.Execute(options, new RecordingObserver(), default);
        using (var there = new RunProcess(options with { OutputPath = temporary.File("there") }, variables))
            Assert.True(there.Finish() == 0, there.Said);
        Assert.Equal(File.ReadAllBytes(temporary.File("here/model.safetensors")), File.ReadAllBytes(temporary.File("there/model.safetensors")));
    }

    /// <summary>What a process says; it must end well.</summary>
    private static async Task<string> Run(string program, IEnumerable<string> arguments, Dictionary<string, string> variables)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in variables)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        var (said, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, await said + await errors);
        return await said;
    }

    [GeneratedRegex("Total: ([0-9]+), Errors: 0, Failed: 0")]
    private static partial Regex Total();
}
