using System.Text.Json;
using AwqQuantize.Engine.Awq;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// A run's folder beside its destination. It holds what is finished, layer by layer, so that a run that was killed goes on where it
/// was: a layer counts as finished once its part file has its name, which is one rename, done last.
/// </summary>
public sealed class RunFolder : IDisposable
{
    /// <summary>What the folder's name adds to the destination's.</summary>
    public const string Suffix = ".awq-run";

    private const string JournalFile = "run.json", PlacingFile = "placing", AssemblyFolder = "assembly", FinishedName = ".finished" + Suffix;

    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals };

    private readonly RunLock guard;

    private RunFolder(string path, RunLock guard, bool resumed)
    {
        (Path, this.guard, IsResumed) = (path, guard, resumed);
    }

    public string Path { get; }

    /// <summary>Whether an earlier run is taken up.</summary>
    public bool IsResumed { get; }

    /// <summary>Layers that are finished, and that a run can go on after: the hidden states behind the last of them are there, or are needed no more.</summary>
    /// <param name="layers">Of the model.</param>
    public int FinishedLayers(int layers)
    {
        var n = 0;
        while (n < layers && File.Exists(LayerPart(n)))
            n++;
        while (n > 0 && n < layers && !File.Exists(Hidden(n)))
            n--;
        return n;
    }

    /// <summary>Where hidden states go that have to leave memory.</summary>
    public string Spill => System.IO.Path.Combine(Path, "hidden.spill");

    /// <summary>Embedding, head and what else is outside of the layers.</summary>
    public string OuterPart => System.IO.Path.Combine(Path, "outer.safetensors");

    public string LayerPart(int layer) => System.IO.Path.Combine(Path, $"layer-{layer:D5}.safetensors");

    /// <summary>What the float model's linears cost in 4 bits, and which of them stay float.</summary>
    public string Sensitivity => System.IO.Path.Combine(Path, "sensitivity.json");

    /// <summary>What the model's loss makes of the outputs of a layer's linears, on one slice of the rows.</summary>
    public string Gradients(int layer, int slice) => System.IO.Path.Combine(Path, $"gradients-{layer:D5}-{slice:D4}.safetensors");

    /// <summary>Says that there was no memory for that, so that a run that is taken up does without it, too.</summary>
    public string GradientsSkipped => System.IO.Path.Combine(Path, "gradients.skipped");

    /// <summary>How close the decision for each code of a layer was.</summary>
    public string Residuals(int layer) => System.IO.Path.Combine(Path, $"residuals-{layer:D5}.safetensors");

    /// <summary>What came of the tuning; not there before it is finished.</summary>
    public string Tuning => System.IO.Path.Combine(Path, "tuning.json");

    /// <summary>Where the destination is put together before it gets its name.</summary>
    public string Assembly => System.IO.Path.Combine(Path, AssemblyFolder);

    private string Outcome(int layer) => System.IO.Path.Combine(Path, $"layer-{layer:D5}.json");

    private string Hidden(int layer) => System.IO.Path.Combine(Path, $"hidden-{layer:D5}.bin");

    /// <summary>Whether a run for this destination was begun and is not finished.</summary>
    public static bool IsBegun(string destination) => File.Exists(System.IO.Path.Combine(destination + Suffix, JournalFile));

    /// <summary>Opens or creates the folder of a destination, and locks it.</summary>
    /// <param name="destination">The destination.</param>
    /// <param name="options">What determines the result, by name: a run is only taken up with the same values.</param>
    /// <param name="startOver">Whether an unfinished run is thrown away.</param>
    /// <param name="cancel">Ends the wait for a run of another machine that may be dead.</param>
    /// <exception cref="AwqException"><c>RunLocked</c>, <c>RunOptionsDiffer</c>, <c>DestinationNotWritable</c>.</exception>
    public static RunFolder Open(string destination, IReadOnlyDictionary<string, string> options, bool startOver, CancellationToken cancel = default)
    {
        var path = destination + Suffix;
        var guard = RunLock.Acquire(path, cancel);
        try
        {
            var journal = System.IO.Path.Combine(path, JournalFile);
            var resumed = false;
            if (startOver || !File.Exists(journal))
                Clear(path);
            else
            {
                Compare(path, ReadJournal(journal), options);
                resumed = true;
            }
            if (!resumed)
                WriteWhole(journal, JsonSerializer.SerializeToUtf8Bytes(options.OrderBy(o => o.Key, StringComparer.Ordinal).ToDictionary(), Json));
            return new RunFolder(path, guard, resumed);
        }
        catch
        {
            guard.Dispose();
            throw;
        }
    }

    /// <summary>Keeps how a run is batched, or tells how it was when it began.</summary>
    public Batching Remember(Batching now)
    {
        var file = System.IO.Path.Combine(Path, "batching.json");
        if (File.Exists(file))
            return JsonSerializer.Deserialize<Batching>(File.ReadAllBytes(file), Json)!;
        WriteWhole(file, JsonSerializer.SerializeToUtf8Bytes(now, Json));
        return now;
    }

    /// <summary>Commits a layer: its outcome and the hidden states behind it first, its part last.</summary>
    /// <param name="hidden">Writes them; null where a run that is ended is to go on after an earlier layer.</param>
    public void Commit(int layer, LayerOutcome outcome, Action<Stream>? hidden, Action<string> writePart)
    {
        guard.Verify();
        WriteWhole(Outcome(layer), JsonSerializer.SerializeToUtf8Bytes(outcome, Json));
        if (hidden is null)
        {
            writePart(LayerPart(layer));
            return;
        }
        var states = Hidden(layer + 1);
        using (var stream = new FileStream(states + ".tmp", FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
        {
            hidden(stream);
            stream.Flush(flushToDisk: true);
        }
        File.Move(states + ".tmp", states, overwrite: true);
        writePart(LayerPart(layer));
        foreach (var earlier in Directory.GetFiles(Path, "hidden-*.bin").Where(f => f != states))
            File.Delete(earlier);
    }

    /// <summary>The hidden states behind the last finished layer.</summary>
    public Stream OpenHidden(int layer) => new FileStream(Hidden(layer), FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);

    /// <summary>What became of a finished layer.</summary>
    public LayerOutcome ReadOutcome(int layer) => JsonSerializer.Deserialize<LayerOutcome>(File.ReadAllBytes(Outcome(layer)), Json)!;

    /// <summary>Whether the assembled checkpoint has the destination's name already, and only this folder is left to be deleted.</summary>
    public bool IsPlaced => IsPlacedAt(Path[..^Suffix.Length]);

    /// <summary>Whether a run to a destination was ended between giving it its name and leaving nothing behind.</summary>
    public static bool IsPlacedAt(string destination) => File.Exists(System.IO.Path.Combine(destination + Suffix, PlacingFile))
        && !Directory.Exists(System.IO.Path.Combine(destination + Suffix, AssemblyFolder)) && Directory.Exists(destination);

    /// <summary>Deletes what an ended run did not come to delete.</summary>
    public static void Sweep(string destination)
    {
        if (Directory.Exists(destination + FinishedName))
            Directory.Delete(destination + FinishedName, recursive: true);
    }

    /// <summary>Says that the assembly is about to get the destination's name.</summary>
    public void Placing() => WriteWhole(System.IO.Path.Combine(Path, PlacingFile), []);

    /// <summary>Deletes the folder and frees the lock: the run is finished.</summary>
    public void Delete() => guard.Remove(Path[..^Suffix.Length] + FinishedName);

    public void Dispose() => guard.Dispose();

    private static void Clear(string path)
    {
        foreach (var file in Directory.EnumerateFiles(path).Where(f => System.IO.Path.GetFileName(f) is not (RunLock.LockFile or RunLock.OwnerFile)))
            File.Delete(file);
        foreach (var folder in Directory.EnumerateDirectories(path))
            Directory.Delete(folder, recursive: true);
    }

    private static Dictionary<string, string> ReadJournal(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, string>>(File.ReadAllBytes(path), Json) ?? [];
        }
        catch (JsonException e)
        {
            throw new AwqException("RunJournalInvalid", AwqErrorKind.InvalidData, $"'{path}' is damaged: {e.Message}", "Start over with -Force.", e);
        }
    }

    private static void Compare(string path, Dictionary<string, string> before, IReadOnlyDictionary<string, string> now)
    {
        if (RunIdentity.Difference(before, now) is var (name, old, value))
            throw new AwqException("RunOptionsDiffer", AwqErrorKind.InvalidArgument,
                $"The unfinished run in '{path}' was started with {name} = {old ?? "its default"}, now it is {value ?? "its default"}.",
                "Repeat the command as it was to go on, or start over with -Force.");
    }

    private static void WriteWhole(string path, byte[] content)
    {
        using (var stream = new FileStream(path + ".tmp", FileMode.Create, FileAccess.Write))
        {
            stream.Write(content);
            stream.Flush(flushToDisk: true);
        }
        File.Move(path + ".tmp", path, overwrite: true);
    }
}
