using System.Management.Automation;
using AwqQuantize.Binding;
using AwqQuantize.Completion;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Commands;

/// <summary>A cmdlet that runs models: where, and by which libtorch.</summary>
public abstract class ComputingCommand : ModelFolderCommand
{
    /// <summary>One device, or several GPUs; as an array or with commas between them.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    [DeviceName]
    [ArgumentCompleter(typeof(DeviceCompleter))]
    public string[] Device { get; set; } = ["auto"];

    /// <summary>Another libtorch than the module's own, such as that of an installed PyTorch.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? TorchLibraryPath { get; set; }

    private protected string DeviceText => string.Join(',', Device);

    protected override void BeginProcessing() => UseTorchLibrary(this, TorchLibraryPath);

    /// <summary>Chooses libtorch before anything of it is loaded; what is wrong with it dooms every model.</summary>
    internal static void UseTorchLibrary(AwqCommand cmdlet, string? path)
    {
        if (path is null)
            return;
        try
        {
            TorchRuntime.Use(cmdlet.ResolveLiteral(path));
        }
        catch (AwqException e)
        {
            cmdlet.ThrowTerminatingError(ErrorRecords.From(e, path));
        }
    }
}
