namespace AwqQuantize.Engine.Runs;

/// <summary>Hears what a run does. Called on the engine's thread; must return quickly.</summary>
public interface IRunObserver
{
    void Progress(RunProgress progress);

    /// <summary>The result may be worse than it could be.</summary>
    /// <param name="id">Stable identifier, e.g. <c>LayerFellBack</c>.</param>
    void Warning(string id, string message);

    /// <summary>What was decided and why (device, memory, what is left out), and what is done: the lines of a log.</summary>
    void Decision(string message);
}
