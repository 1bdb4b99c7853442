using AwqQuantize.Engine.Awq;
using AwqQuantize.Engine.Tuning;

namespace AwqQuantize.Engine.Runs;

/// <summary>What is wanted of one run. All paths are absolute.</summary>
public sealed record QuantizationOptions
{
    /// <summary>Folder of the float model.</summary>
    public required string ModelPath { get; init; }

    /// <summary>Folder with <c>Architectures/</c> and <c>Calibration/</c>.</summary>
    public required string ModuleRoot { get; init; }

    /// <summary>Destination; null for <c>AWQ-4bit</c> (or <c>AWQ-4bit-MAX</c>) inside the model's folder.</summary>
    public string? OutputPath { get; init; }

    /// <summary>Most steps of end-to-end tuning after the layers; 0 for none, null for the mode's default.</summary>
    public int? TuningSteps { get; init; }

    /// <summary>Takes more time and calibration for a better model.</summary>
    public bool MaxQuality { get; init; }

    /// <summary>With <see cref="MaxQuality"/>: bits per weight, on average over all that can be quantised, that linears kept in float16 may lead to.</summary>
    public double MaxBitsPerWeight { get; init; } = 4.5;

    /// <summary><c>auto</c>, <c>cpu</c>, <c>cuda</c> or <c>cuda:0</c>.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Uses no GPU whatever <see cref="Device"/> says.</summary>
    public bool ForceCpu { get; init; }

    /// <summary>Input channels that share a scale and a zero point: 32, 64 or 128.</summary>
    public int GroupSize { get; init; } = 128;

    /// <summary>Files to calibrate on; none for the text that ships with the module.</summary>
    public IReadOnlyList<string> CalibrationData { get; init; } = [];

    /// <summary>Calibration rows; null for the default.</summary>
    public int? SampleCount { get; init; }

    /// <summary>Tokens of a calibration row; null for the default.</summary>
    public int? SequenceLength { get; init; }

    /// <summary>Modules that stay float.</summary>
    public IReadOnlyList<string> ExcludeModule { get; init; } = [];

    /// <summary>Bytes that the run may use; null for what is free.</summary>
    public long? MemoryLimit { get; init; }

    /// <summary>Goes on with a run that was interrupted.</summary>
    public bool Resume { get; init; }

    /// <summary>Replaces an existing destination.</summary>
    public bool Force { get; init; }

    public RoundingMode Rounding { get; init; } = RoundingMode.Compensated;

    /// <summary>Rounds the weights without looking at any text.</summary>
    public bool NoCalibration { get; init; }

    /// <summary>Fits every routed expert to all calibration tokens, not only to those that the router sends it.</summary>
    public bool CalibrateEveryExpert { get; init; }

    /// <summary>Makes an error of what is otherwise a warning that the result may be worse.</summary>
    public bool Strict { get; init; }

    /// <summary>Which of the data's rows are used where there are more than wanted.</summary>
    public int Seed { get; init; }

    /// <summary>Architecture descriptions besides those of the module: files or folders.</summary>
    public IReadOnlyList<string> ArchitecturePath { get; init; } = [];

    /// <summary>What these options mean for a layer.</summary>
    public AwqSettings Settings => (MaxQuality ? AwqSettings.Maximum : new AwqSettings()) with
    {
        GroupSize = GroupSize, Rounding = Rounding, AllTokensToAllExperts = CalibrateEveryExpert, KeepResiduals = Tuning is not null,
        FollowsGradients = MaxQuality && !NoCalibration && Rounding == RoundingMode.Compensated,
    };

    /// <summary>The end-to-end tuning that they ask for; null where they do not.</summary>
    public TuningSettings? Tuning
    {
        get
        {
            var settings = new TuningSettings { MemoryBytes = MemoryLimit ?? Compute.ProcessMemory.Available };
            var steps = NoCalibration ? 0 : TuningSteps ?? (MaxQuality ? settings.Steps : 0);
            return steps == 0 ? null : settings with { Steps = steps };
        }
    }
}
