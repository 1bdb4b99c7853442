using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Text.Json;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Runs;
using AwqQuantize.RunHost;

// One run, whose options are the argument, as JSON; a line for each thing that happens. Or only what vectors the runtime has.
var lines = new Lines();
if (args is ["vectors"])
{
    lines.Say($"vectors of {8 * Vector<byte>.Count} bits, 256: {Vector256.IsHardwareAccelerated}, 512: {Vector512.IsHardwareAccelerated && Vector<byte>.Count == 64}");
    return 0;
}
lines.Say("started");
try
{
    var result = QuantizationRun.Execute(JsonSerializer.Deserialize<QuantizationOptions>(args[0])!, lines, default);
    lines.Say(string.Create(CultureInfo.InvariantCulture,
        $"done {result.Status} peak {result.PeakMemory} virtual {Process.GetCurrentProcess().PeakVirtualMemorySize64} lengths {string.Join(",", result.Layers.Select(l => l.SequenceLength))}"));
    return 0;
}
catch (AwqException e)
{
    lines.Say($"error {e.Id} {e.Message} {e.Remedy}");
    return 1;
}
