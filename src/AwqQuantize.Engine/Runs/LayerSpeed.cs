using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Compute;
using AwqQuantize.Engine.Layers;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// How many times longer a layer takes than its matrix products alone: norms, activations, softmax, rotations, and the calls into
/// libtorch, which weigh more the narrower a layer is, and in each family otherwise.
/// </summary>
/// <param name="Forward">Of a forward.</param>
/// <param name="Gradients">Of a recorded forward and its way back with the gradients of all weights, which are three forwards.</param>
public sealed record LayerSpeed(double Forward, double Gradients)
{
    // Wider layers are mostly products, and measuring them would take memory and time that are felt.
    private const long MostElements = 1 << 22;

    private const int Tokens = 1024;

    /// <summary>That of layers of this width, as good as it can be told without running one.</summary>
    public static double UsualForward(int hidden) => 1 + 340.0 / hidden;

    /// <summary>Runs the layer in the middle on the CPU for about a second, with made-up weights; null where it is too wide for that, or memory too scarce.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="length">Tokens per row.</param>
    /// <param name="speed">Of the products.</param>
    /// <param name="patience">Seconds for each of the two.</param>
    public static LayerSpeed? Measure(ModelGraph graph, int length, MachineSpeed speed, double patience = 0.5)
    {
        var layer = graph.Layers[graph.LayerCount / 2];
        if (layer.ElementCount > MostElements)
            return null;
        try
        {
            return Measure(layer, length, speed, patience);
        }
        catch (Exception e) when (OutOfMemory.Is(e))
        {
            // The run will say, and do, what there is to say and do about it.
            NativeHeap.Trim();
            return null;
        }
    }

    private static LayerSpeed Measure(LayerGraph layer, int length, MachineSpeed speed, double patience)
    {
        using var scope = NewDisposeScope();
        var (rows, row) = (Math.Max(1, Tokens / length), Math.Min(Tokens, length));
        using var runner = new DecoderLayer(layer, LayerWeights.Load(layer, new MadeUpWeights(layer), CPU), new PositionTables(CPU), ComputeDevice.Host);
        var hidden = arange((long)rows * row * layer.HiddenSize, ScalarType.Float32).mul_(0.618034f).frac_().sub_(0.5f).reshape(rows, row, layer.HiddenSize);
        var operations = WorkEstimate.Operations(layer, (long)rows * row, row);
        var forward = speed.ProductRate / (operations * MachineSpeed.Rate(() => runner.Forward(hidden).Dispose(), () => { }, patience));

        runner.Weights.ForwardIn(ComputeDevice.Host.GradientType(layer.HiddenSize));
        foreach (var parameter in layer.Parameters)
            runner.Weights[parameter.Name].requires_grad_(true);
        var gradients = speed.GradientRate / (3 * operations * MachineSpeed.Rate(Back, () => { }, patience));
        NativeHeap.Trim();
        return new LayerSpeed(forward, gradients);

        void Back()
        {
            using var inner = NewDisposeScope();
            var entrance = hidden.detach().requires_grad_(true);
            var output = runner.ForwardForGradient(entrance);
            output.backward([output.detach()]);
            foreach (var parameter in layer.Parameters)
                runner.Weights[parameter.Name].grad?.zero_();
        }
    }

    /// <summary>What is asked of them is only how long they take.</summary>
    private sealed class MadeUpWeights(LayerGraph layer) : ITensorSource
    {
        private readonly Dictionary<string, long[]> shapes = layer.Parameters.Select(p => p.Stored).Distinct().ToDictionary(s => s.Name, s => s.Shape);

        public bool Contains(string name) => shapes.ContainsKey(name);

        public long[] Shape(string name) => shapes[name];

        // Evenly spread, and nothing that a run draws is drawn otherwise for it.
        public Tensor Read(string name, Device device)
        {
            using var scope = NewDisposeScope();
            var shape = shapes[name];
            return arange(shape.Aggregate(1L, (a, b) => a * b), ScalarType.Float32, device).mul_(0.618034f).frac_().sub_(0.5f).mul_(0.1f).reshape(shape).MoveToOuterDisposeScope();
        }
    }
}
