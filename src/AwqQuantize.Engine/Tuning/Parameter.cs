using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>
/// One tensor that is tuned: its float32 master, which Adam moves (arXiv 1412.6980), and the float16 value of it that the model
/// computes with, so that what is tuned is what is stored.
/// </summary>
internal sealed class Parameter : IDisposable
{
    private const double Beta1 = 0.9, Beta2 = 0.99, Epsilon = 1e-12;

    private readonly Tensor mean, square;
    private readonly double rate;
    private Tensor? pending;

    /// <param name="value">Where it starts; copied.</param>
    /// <param name="rate">Width of the first step.</param>
    public Parameter(Tensor value, double rate)
    {
        Master = value.detach().clone().DetachFromDisposeScope();
        mean = zeros_like(Master).DetachFromDisposeScope();
        square = zeros_like(Master).DetachFromDisposeScope();
        this.rate = rate;
    }

    /// <summary>float32.</summary>
    public Tensor Master { get; }

    /// <summary>All that has to be kept to go on later, in the order that <see cref="State"/> always has.</summary>
    public IReadOnlyList<Tensor> State => [Master, mean, square];

    /// <summary>The master as it is stored; the caller disposes it.</summary>
    public Tensor Stored()
    {
        using var half = Master.to(ScalarType.Float16);
        return half.to(ScalarType.Float32);
    }

    /// <summary>Keeps the gradient of the coming step.</summary>
    /// <param name="gradient">Of the loss, in the master's shape.</param>
    public void Offer(Tensor gradient)
    {
        Withdraw();
        pending = gradient.detach().DetachFromDisposeScope();
    }

    /// <summary>Forgets it.</summary>
    public void Withdraw()
    {
        pending?.Dispose();
        pending = null;
    }

    /// <summary>One step of Adam against the gradient that was offered; none where there was none.</summary>
    /// <param name="step">From 1 on.</param>
    /// <param name="factor">What is left of the first step's width (0 to 1).</param>
    public void Step(int step, double factor)
    {
        if (pending is null)
            return;
        using var scope = NewDisposeScope();
        mean.mul_(Beta1).add_(pending, alpha: 1 - Beta1);
        square.mul_(Beta2).addcmul_(pending, pending, 1 - Beta2);
        var corrected = square.div(1 - Math.Pow(Beta2, step)).sqrt_().add_(Epsilon);
        Master.addcdiv_(mean, corrected, -rate * factor / (1 - Math.Pow(Beta1, step)));
        Withdraw();
    }

    public void Dispose()
    {
        foreach (var tensor in State)
            tensor.Dispose();
        Withdraw();
    }
}
