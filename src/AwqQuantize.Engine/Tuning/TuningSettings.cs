using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tuning;

/// <summary>How a quantised model is tuned against the float one.</summary>
public sealed record TuningSettings
{
    // Calibration tokens for each step of a short tuning: about a forward of them in all, with the float model and the held-out rows.
    private const int TokensPerShortStep = 8192;

    // With fewer calibration tokens a tuned model fits them better than it fits others.
    private const long EnoughTokens = 65_536;

    // Of an ordinary GPU. One that has less goes back to one layer at a time, with the same result.
    private const long MemoryOfDevices = 24L << 30;

    // Weights from which on more tokens for a step bring more than more steps do.
    private const long Large = 1 << 24;

    // Of so few steps they are looked at more often.
    private const int LargeInterval = 10;

    // What fewer held-out tokens say is chance.
    private const long FewestHeldOut = 2048;

    /// <summary>
    /// A few steps on scales, norms and biases alone, which cost about a forward of the calibration text and little memory:
    /// the default where a run has tokens enough.
    /// </summary>
    /// <param name="tokens">Calibration tokens there are.</param>
    /// <param name="onDevice">Whether a device computes that has its own memory.</param>
    /// <returns>Null where they are too few.</returns>
    public static TuningSettings? Short(long tokens, bool onDevice = false) => tokens < EnoughTokens ? null
        : new() { Steps = (int)Math.Min(64, tokens / TokensPerShortStep), CodeRate = 0, HiddenWeight = 0, ScaleRate = 0.0015, Interval = int.MaxValue, HeldOutTokens = 2048, MemoryBytes = onDevice ? MemoryOfDevices : 1 << 30 };

    /// <summary>
    /// The same for a model on the CPU. What 1024 tokens say of each of many codes is mostly chance, and a hundred million codes that
    /// follow chance make a model worse that was rounded well: as many tokens are seen in fewer and wider steps.
    /// </summary>
    /// <param name="weights">Quantised weights.</param>
    /// <param name="asMany">Whether the number of steps was asked for.</param>
    public TuningSettings OnHost(long weights, bool asMany) => weights < Large ? this
        : this with { TokensPerStep = 4 * TokensPerStep, Steps = asMany ? Steps : Steps / 4, ScaleRate = 2 * ScaleRate, FloatRate = 2 * FloatRate, Interval = LargeInterval };

    /// <summary>
    /// The same where a device computes that has its own memory. It makes more of a larger model in less time, and what few tokens say of
    /// many codes is mostly chance: steps see eight times as many.
    /// </summary>
    /// <param name="weights">Quantised weights.</param>
    /// <param name="asMany">Whether the number of steps was asked for.</param>
    /// <param name="memory">Of the device.</param>
    public TuningSettings OnDevice(long weights, bool asMany, long memory) => weights < Large ? this with { MemoryBytes = memory }
        : this with { MemoryBytes = memory, TokensPerStep = 8 * TokensPerStep, Steps = asMany ? Steps : Steps / 2 };

    /// <summary>Steps at most: a quarter of them for scales, norms and biases alone, then with codes; all for the former where codes stay.</summary>
    public int Steps { get; init; } = 600;

    /// <summary>Tokens that a step looks at.</summary>
    public int TokensPerStep { get; init; } = 1024;

    /// <summary>Length of the rows that calibration rows are cut into, so that a step sees several texts.</summary>
    public int RowLength { get; init; } = 512;

    /// <summary>First step width of group scales, as a part of their linear's mean scale.</summary>
    public double ScaleRate { get; init; } = 0.001;

    /// <summary>First step width of norm weights and biases, as a part of their tensor's mean magnitude.</summary>
    public double FloatRate { get; init; } = 5e-4;

    /// <summary>First step width of the codes, in codes; 0 leaves them as they are, as does a model whose weights do not fit into memory.</summary>
    public double CodeRate { get; init; } = 0.005;

    /// <summary>Steps between two looks at the held-out rows.</summary>
    public int Interval { get; init; } = 25;

    /// <summary>
    /// Weight of the layers' outputs in the loss, on average over layers, beside the divergence of the predictions; 0 for the latter alone, for which the
    /// float model runs once over all rows and not once a step.
    /// </summary>
    public double HiddenWeight { get; init; } = 1;

    /// <summary>Looks at the held-out rows without a gain after which steps on scales, norms and biases alone become narrower, and half of those left are saved.</summary>
    public int Patience { get; init; } = 3;

    /// <summary>One of this many rows is held out; of short texts more.</summary>
    public int HeldOut { get; init; } = 16;

    /// <summary>Most held-out tokens.</summary>
    public int HeldOutTokens { get; init; } = 8192;

    /// <summary>How many tokens of a calibration text are held out: its part, but of a short one up to a quarter, so that chance does not decide.</summary>
    public long HeldOutOf(long tokens) => Math.Min(HeldOutTokens, Math.Max(tokens / HeldOut, Math.Min(tokens / 4, FewestHeldOut)));

    /// <summary>What products are made in, forwards and backwards, other than on held-out rows; null for what the CPU does best.</summary>
    public ScalarType? Products { get; init; }

    /// <summary>
    /// Memory to plan with: weights stay in it for all steps where they take less than a third, and a sixth may hold what backward
    /// passes need; layers beyond that are read, and run, a second time.
    /// </summary>
    public long MemoryBytes { get; init; } = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
}
