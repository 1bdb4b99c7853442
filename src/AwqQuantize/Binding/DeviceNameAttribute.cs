using System.Collections;
using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Compute;

namespace AwqQuantize.Binding;

/// <summary>Takes what <see cref="DeviceRequest.Parse"/> reads: whether it exists is another question.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class DeviceNameAttribute : ValidateArgumentsAttribute
{
    protected override void Validate(object arguments, EngineIntrinsics engineIntrinsics)
    {
        var text = arguments is IEnumerable parts and not string ? string.Join(',', parts.Cast<object>()) : $"{arguments}";
        try
        {
            DeviceRequest.Parse(text);
        }
        catch (AwqException e)
        {
            throw new ValidationMetadataException($"{e.Message} {e.Remedy}", e);
        }
    }
}
