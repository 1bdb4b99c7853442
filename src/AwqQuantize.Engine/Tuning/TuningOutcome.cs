namespace AwqQuantize.Engine.Tuning;

/// <summary>What tuning a model brought.</summary>
/// <param name="Steps">Steps that were made.</param>
/// <param name="BestStep">The step whose values were taken; 0 where none was better than the untuned model.</param>
/// <param name="Tokens">Tokens in the rows that were tuned on.</param>
/// <param name="HeldOutTokens">Tokens in the rows that judged.</param>
/// <param name="KlBefore">KL(float‖quantised) on held-out rows before, nats per token.</param>
/// <param name="KlAfter">The same afterwards.</param>
public sealed record TuningOutcome(int Steps, int BestStep, long Tokens, long HeldOutTokens, double KlBefore, double KlAfter);
