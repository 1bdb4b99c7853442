namespace AwqQuantize.Engine.Awq;

/// <summary>What it costs a model to have one set of linears in 4 bits, all else float.</summary>
/// <param name="Set">The linears.</param>
/// <param name="StreamError">Mean over tokens of the squared relative change of the layer's output.</param>
/// <param name="KlDivergence">Of the model's predictions from the float model's, mean over tokens, in nats; null where the set was not on the shortlist.</param>
/// <param name="StaysFloat">Whether it is worth its bits and stays in float16.</param>
public sealed record ModuleSensitivity(ModuleSet Set, double StreamError, double? KlDivergence, bool StaysFloat);
