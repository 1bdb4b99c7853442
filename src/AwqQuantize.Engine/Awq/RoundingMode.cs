namespace AwqQuantize.Engine.Awq;

/// <summary>How weights become codes.</summary>
public enum RoundingMode
{
    /// <summary>Every weight to the nearest code of its group.</summary>
    Nearest,

    /// <summary>Column by column, making up for the errors made before (see <see cref="CompensatedRounding"/>).</summary>
    Compensated,
}
