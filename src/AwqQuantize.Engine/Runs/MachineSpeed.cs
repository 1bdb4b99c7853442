using System.Diagnostics;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Compute;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Runs;

/// <summary>How fast this machine is at the two things that a run spends its time on, as busy as it is now.</summary>
/// <param name="MatrixRate">Floating-point operations per second of matrix products of a model's widths.</param>
/// <param name="FitRate">Weights per second whose ranges are fitted.</param>
public sealed record MachineSpeed(double MatrixRate, double FitRate)
{
    // Seconds that each measurement takes.
    private const double Patience = 1;

    // What a long run reaches of the rate of one call that is made again and again, where matrices are narrow and where they are wide.
    private const double SustainedNarrow = 0.8, SustainedWide = 1;

    /// <summary>Operations per second of the products of forwards, which a device may make in half precision.</summary>
    public double ProductRate { get; init; } = MatrixRate;

    /// <summary>The same of the products of tuning, with what it takes to bring them into the type that they are made in.</summary>
    public double GradientRate { get; init; } = MatrixRate;

    /// <summary>What the model's layers take beside their products; null where it was not measured.</summary>
    public LayerSpeed? Layer { get; init; }

    /// <summary>Whether finished layers are written, and later ones read, while one is worked on.</summary>
    public bool WritesBehind { get; init; }

    /// <summary>An ordinary machine, for work that is so little that measuring would cost more than it tells.</summary>
    public static MachineSpeed Assumed { get; } = new(5e10, 1e7);

    private static readonly Dictionary<(string, long, long), MachineSpeed> Measured = [];

    /// <summary>Measures for some seconds; the answer for a device and widths is remembered, but for what a layer takes.</summary>
    /// <param name="device">Where layers run.</param>
    /// <param name="graph">Gives the widths: narrow matrices are slower.</param>
    /// <param name="length">Tokens per row.</param>
    public static MachineSpeed Measure(ComputeDevice device, ModelGraph graph, int length)
    {
        var widest = graph.Layers.SelectMany(l => l.Linears).Where(l => l.Expert < 0).Select(l => l.Out).DefaultIfEmpty(graph.HiddenSize).Max();
        // A device needs wider products to show what it can do.
        var most = device.IsHost ? 2048 : 4096;
        var speed = Measure(device, Math.Min(graph.HiddenSize, most), Math.Min(widest, 2 * most), device.ForwardType(graph.HiddenSize), device.GradientType(graph.HiddenSize));
        return device.IsHost && LayerSpeed.Measure(graph, length, speed) is { } layer
            ? speed with { Layer = layer, GradientRate = speed.GradientRate * layer.Forward / layer.Gradients } : speed;
    }

    private static MachineSpeed Measure(ComputeDevice device, long inputs, long outputs, ScalarType type, ScalarType gradients)
    {
        lock (Measured)
        {
            if (!Measured.TryGetValue((device.Name, inputs, outputs), out var speed))
                Measured[(device.Name, inputs, outputs)] = speed = device.IsHost
                    ? OfHost(Products(device, inputs, outputs, ScalarType.Float32))
                    : new MachineSpeed(Products(device, inputs, outputs, ScalarType.Float32), FitsOn(device)) { ProductRate = Products(device, inputs, outputs, type), GradientRate = Products(device, inputs, outputs, gradients), WritesBehind = true };
            return speed;
        }

        MachineSpeed OfHost(double products) => new(Sustained(inputs) * products, Sustained(inputs) * Fits())
        {
            GradientRate = Sustained(inputs) * (gradients == ScalarType.Float32 ? products : Gradients(inputs, outputs, gradients)),
        };
    }

    private static double Sustained(long columns) => SustainedNarrow + (SustainedWide - SustainedNarrow) * Math.Clamp(Math.Log2(columns) - 10, 0, 1);

    private static double Products(ComputeDevice device, long inputs, long outputs, ScalarType type)
    {
        var tokens = device.IsHost ? 2048 : 4096;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var (x, w) = (ones([tokens, inputs], type, device.Torch), ones([outputs, inputs], type, device.Torch));
        return 2.0 * tokens * inputs * outputs * Rate(() => nn.functional.linear(x, w).Dispose(), device.Synchronize);
    }

    /// <summary>A product of the host's and its gradients, which other kernels make, with what brings float32 into their type.</summary>
    private static double Gradients(long inputs, long outputs, ScalarType type)
    {
        const int Tokens = 1024;
        using var recording = enable_grad();
        using var scope = NewDisposeScope();
        var (x, w, above) = (ones([Tokens, inputs], requires_grad: true), ones([outputs, inputs], requires_grad: true), ones([Tokens, outputs]));
        return 6.0 * Tokens * inputs * outputs * Rate(Product, () => { });

        void Product()
        {
            using var inner = NewDisposeScope();
            nn.functional.linear(x.to(type), w.to(type)).to(ScalarType.Float32).backward([above]);
        }
    }

    private static double FitsOn(ComputeDevice device)
    {
        const int Rows = 2048, Columns = 4096, Group = 128;
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var (w, s, importance) = (randn([Rows, Columns], device: device.Torch), ones(Columns, device: device.Torch), ones(Columns, device: device.Torch));
        return (double)Rows * Columns * Rate(() => TensorRounding.Nearest(w, s, importance, Group, device).Dispose(), device.Synchronize);
    }

    private static unsafe double Fits()
    {
        const int Rows = 512, Columns = 1024, Group = 128;
        var random = new Random(1);
        var weights = new float[Rows * Columns];
        for (var i = 0; i < weights.Length; i++)
            weights[i] = random.NextSingle() - 0.5f;
        var linear = new QuantizedLinear(Rows, Columns, Group);
        fixed (float* w = weights)
        {
            var pointer = (nint)w;
            return (double)Rows * Columns * Rate(() => RangeFit.Fit((float*)pointer, (float*)pointer, linear), () => { });
        }
    }

    /// <summary>
    /// Runs per second, over a while, so that what else the machine does counts; of the quicker runs, for a process that has just
    /// begun still compiles its own code on some of the cores.
    /// </summary>
    internal static double Rate(Action work, Action wait, double patience = Patience)
    {
        work();
        wait();
        var times = new List<TimeSpan>();
        var start = Stopwatch.GetTimestamp();
        do
        {
            var begun = Stopwatch.GetTimestamp();
            work();
            wait();
            times.Add(Stopwatch.GetElapsedTime(begun));
        }
        while (times.Count < 4 || Stopwatch.GetElapsedTime(start).TotalSeconds < patience);
        times.Sort();
        return 1 / times[times.Count / 4].TotalSeconds;
    }
}
