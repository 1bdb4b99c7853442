using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Packing;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>A quantised linear whose group scales, and on request whose codes, follow the gradient: W = c · s with c = code - zero point.</summary>
internal sealed class TunedLinear : IDisposable
{
    private readonly int outputs, inputs, groupSize;
    private readonly ModelFolder folder;
    private readonly ComputeDevice device;
    private readonly Tensor zeros;
    private Tensor? centred;

    /// <param name="folder">An AWQ checkpoint; must outlive this.</param>
    /// <param name="module">Full name.</param>
    /// <param name="shape">[out, in].</param>
    /// <param name="groupSize">Columns per group.</param>
    /// <param name="settings">Step widths.</param>
    /// <param name="residuals">Where the float weights lie seen from the codes, [out, in]; null where codes stay as they are.</param>
    /// <param name="resident">Whether codes stay in memory, unpacked; else they are read whenever they are needed.</param>
    /// <param name="device">Where they are, and are computed with.</param>
    public unsafe TunedLinear(ModelFolder folder, string module, long[] shape, int groupSize, TuningSettings settings, bool resident, Tensor? residuals, ComputeDevice device)
    {
        (this.folder, Module, outputs, inputs, this.groupSize, this.device) = (folder, module, (int)shape[0], (int)shape[1], groupSize, device);
        using var scope = NewDisposeScope();
        var groups = inputs / groupSize;
        var entry = folder.Entry(module + ".scales");
        var values = new float[entry.ElementCount];
        folder.ReadFloat(entry.Name, values);
        var scales = device.Upload(tensor(values, [groups, outputs]).t().contiguous());
        Scales = new Parameter(scales, settings.ScaleRate * scales.mean().item<float>());
        var packed = new sbyte[(long)outputs * groups];
        fixed (sbyte* z = packed)
            AwqPacking.Unpack((int*)folder.Pointer(module + ".qzeros"), (byte*)z, outputs, groups);
        zeros = device.Upload(tensor(packed, [outputs, groups, 1])).DetachFromDisposeScope();
        if (residuals is not null)
            Codes = new LatentCodes(ReadCentred(), device.Upload(residuals), zeros, settings.CodeRate);
        else if (resident)
            centred = ReadCentred().DetachFromDisposeScope();
    }

    public string Module { get; }

    /// <summary>[out, groups].</summary>
    public Parameter Scales { get; }

    /// <summary>Null where codes stay.</summary>
    public LatentCodes? Codes { get; }

    /// <summary>All that has to be kept to go on later.</summary>
    public IEnumerable<Tensor> State => Codes is null ? Scales.State : [.. Scales.State, Codes.Latent];

    /// <summary>The weights as they are now, [out, in] float32.</summary>
    public Tensor Weight()
    {
        using var scope = NewDisposeScope();
        return Centred().mul(Scales.Stored().unsqueeze(2)).view(outputs, inputs).MoveToOuterDisposeScope();
    }

    /// <summary>Takes the gradient of the weights for the coming step.</summary>
    /// <param name="gradient">[out, in].</param>
    /// <param name="codes">Whether codes move in it.</param>
    public void Offer(Tensor gradient, bool codes)
    {
        using var scope = NewDisposeScope();
        var grouped = gradient.view(outputs, -1, groupSize);
        Scales.Offer(grouped.mul(Centred()).sum([2L]));
        if (codes)
            Codes?.Offer(grouped);
    }

    /// <summary>One step.</summary>
    public void Step(int step, double factor)
    {
        using var scope = NewDisposeScope();
        Scales.Step(step, factor);
        // A scale must stay one: positive, and a normal number in float16.
        Scales.Master.clamp_min_(6.2e-5);
        Codes?.Step(factor);
    }

    /// <summary>What is stored of it now: group scales as [groups, out], and the packed codes where these are tuned.</summary>
    public IEnumerable<TensorPayload> Payloads()
    {
        using var scope = NewDisposeScope();
        var scales = ComputeDevice.Download(Scales.Stored().t()).contiguous().data<float>().ToArray();
        yield return TensorPayload.From(Module + ".scales", TensorDtype.F16, [inputs / groupSize, outputs], Array.ConvertAll(scales, s => (Half)s));
        if (Codes is null)
            yield break;
        var codes = ComputeDevice.Download(Centred().add(zeros).to(ScalarType.Byte)).data<byte>().ToArray();
        var half = new Half[scales.Length];
        var packed = AwqPacking.Pack(codes, ComputeDevice.Download(zeros).to(ScalarType.Byte).data<byte>().ToArray(), half, outputs, inputs, groupSize);
        yield return TensorPayload.From(Module + ".qweight", TensorDtype.I32, packed.QWeightShape, packed.QWeight);
    }

    public void Dispose()
    {
        Scales.Dispose();
        Codes?.Dispose();
        zeros.Dispose();
        centred?.Dispose();
    }

    /// <summary>Codes minus zero points, [out, groups, group size].</summary>
    private Tensor Centred() => Codes is not null ? Codes.Nearest() : centred?.alias() ?? ReadCentred();

    private unsafe Tensor ReadCentred()
    {
        // In torch's memory: arrays of the runtime would pile up, for a step reads the codes of all layers.
        var codes = empty([outputs, inputs / groupSize, groupSize], ScalarType.Int8);
        AwqPacking.Unpack((int*)folder.Pointer(Module + ".qweight"), (byte*)TensorMemory.Address(codes), outputs, inputs);
        folder.Release(Module + ".qweight");
        var here = device.Upload(codes);
        if (!ReferenceEquals(here, codes))
            codes.Dispose();
        return here.sub_(zeros);
    }
}
