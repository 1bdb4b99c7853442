using System.Management.Automation;
using AwqQuantize.Completion;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Commands;

/// <summary>What a run can compute on.</summary>
[Cmdlet(VerbsCommon.Get, "AwqDevice")]
[OutputType(typeof(AwqDeviceInfo))]
public sealed class GetAwqDeviceCommand : AwqCommand
{
    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    [SupportsWildcards]
    [ArgumentCompleter(typeof(DeviceCompleter))]
    public string Name { get; set; } = "*";

    /// <summary>Another libtorch than the module's own, to see what it can use.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? TorchLibraryPath { get; set; }

    protected override void BeginProcessing() => ComputingCommand.UseTorchLibrary(this, TorchLibraryPath);

    protected override void EndProcessing() => Attempt(Name, () =>
    {
        var pattern = WildcardPattern.Get(Name, WildcardOptions.IgnoreCase);
        var found = RunOnEngine((_, _) => DeviceInventory.Read()).Where(d => pattern.IsMatch(d.Name)).ToList();
        foreach (var device in found)
            Emit(device);
        if (found.Count == 0 && !WildcardPattern.ContainsWildcardCharacters(Name))
            throw new AwqException("DeviceUnavailable", AwqErrorKind.NotFound, $"There is no device '{Name}'.", "Get-AwqDevice lists those that there are.");
    });
}
