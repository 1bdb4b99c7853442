using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Architectures;
using AwqQuantize.Engine.Runs;
using AwqQuantize.Execution;

namespace AwqQuantize.Commands;

/// <summary>What the cmdlets share: the engine's thread, its events on the pipeline's thread, and error records.</summary>
public abstract class AwqCommand : PSCmdlet
{
    /// <summary>How long a stopped cmdlet waits for the engine before it leaves it to wind down alone.</summary>
    private protected static readonly TimeSpan StopPatience = TimeSpan.FromMilliseconds(700);

    private readonly CancellationTokenSource stopping = new();
    private Exception? fromDownstream;

    /// <summary>The folder of the module: descriptions of architectures and text for calibration lie there.</summary>
    private protected static string ModuleRoot { get; } = Path.GetDirectoryName(typeof(AwqCommand).Assembly.Location)!;

    private protected CancellationToken Stopped => stopping.Token;

    /// <summary>Runs on another thread than the pipeline's: signals, and nothing else.</summary>
    protected override void StopProcessing() => stopping.Cancel();

    /// <summary>Does work on the engine's thread and writes what it says on this one, until it is done.</summary>
    /// <exception cref="PipelineStoppedException">The pipeline was stopped.</exception>
    private protected T RunOnEngine<T>(Func<IRunObserver, CancellationToken, T> work) => Run(EngineThread.Post, work);

    /// <summary>The same for work that needs no tensors and must not hold up the engine: a thread of its own does it.</summary>
    /// <exception cref="PipelineStoppedException">The pipeline was stopped.</exception>
    private protected T RunBeside<T>(Func<IRunObserver, CancellationToken, T> work) =>
        Run(action => EngineThread.Beside(action, "transfer"), work);

    private T Run<T>(Action<Action> post, Func<IRunObserver, CancellationToken, T> work)
    {
        // Cancelled also when a Write* call throws, so that the engine never works for nobody.
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(stopping.Token);
        var job = EngineJob<T>.Start(post, work, leaving.Token);
        try
        {
            Pump(job);
        }
        catch
        {
            leaving.Cancel();
            job.Wait(StopPatience);
            throw;
        }
        try
        {
            return job.Result();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            throw new PipelineStoppedException();
        }
    }

    private void Pump<T>(EngineJob<T> job)
    {
        using var reporter = new ProgressReporter(WriteProgress);
        while (true)
        {
            // Read before the events: what was said before the end is then still written.
            var isFinished = job.IsFinished;
            if (job.NextEvent(TimeSpan.FromMilliseconds(50)) is { } said)
                Write(said);
            else if (isFinished)
                return;
            if (stopping.IsCancellationRequested)
            {
                if (!job.Wait(StopPatience))
                    throw new PipelineStoppedException();
                continue;
            }
            if (reporter.IsDue && job.TakeProgress() is { } progress)
                reporter.Report(progress);
        }
    }

    /// <param name="said">What a run said.</param>
    /// <param name="about">Which of several runs said it.</param>
    private protected void Write(RunEvent said, string? about = null)
    {
        if (stopping.IsCancellationRequested)
            return;
        var message = about is null ? said.Message : $"{about}: {said.Message}";
        if (said.Kind == RunEventKind.Warning)
            WriteWarning($"{message} [{said.Id}]");
        else
            WriteVerbose(message);
    }

    /// <summary>One error record for one input: the pipeline goes on with the next.</summary>
    /// <param name="error">What went wrong.</param>
    /// <param name="target">The path as the user gave it.</param>
    private protected virtual void WriteError(Exception error, object? target) => WriteError(ErrorRecords.From(error, target));

    /// <summary>Does something with every folder that paths name; each failure is told, and the next folder has its turn.</summary>
    /// <param name="paths">As the user gave them.</param>
    /// <param name="areLiteral">Whether wildcard characters are part of the names.</param>
    /// <param name="work">Takes a folder, and the path that an error about it names.</param>
    private protected void ForEachFolder(string[] paths, bool areLiteral, Action<string, string> work)
    {
        foreach (var path in paths)
        {
            Attempt(path, () =>
            {
                var folders = areLiteral ? [ResolveLiteral(path)] : ResolveFolders(path);
                foreach (var folder in folders)
                {
                    var asked = folders.Count > 1 ? folder : path;
                    Attempt(asked, () => work(folder, asked));
                }
            });
        }
    }

    /// <summary>Writes a result. What a later command of the pipeline throws meanwhile is its own affair, and ends the pipeline.</summary>
    private protected void Emit(object result)
    {
        try
        {
            WriteObject(result);
        }
        catch (Exception e)
        {
            fromDownstream = e;
            throw;
        }
    }

    /// <summary>Turns an exception of the work into an error record; stopping, flow control and other commands' errors pass.</summary>
    private protected void Attempt(object? target, Action work)
    {
        try
        {
            work();
        }
        catch (Exception e) when (e is not (PipelineStoppedException or FlowControlException) && e != fromDownstream)
        {
            WriteError(e, target);
        }
    }

    /// <summary>The descriptions of the module and the user's; an error in one of them ends the cmdlet.</summary>
    private protected ArchitectureCatalog LoadArchitectures(string[] paths)
    {
        try
        {
            return ArchitectureCatalog.Load([Path.Combine(ModuleRoot, "Architectures"), .. paths.Select(ResolveLiteral)]);
        }
        catch (AwqException e)
        {
            ThrowTerminatingError(ErrorRecords.From(e, paths));
            throw;
        }
    }

    /// <summary>An absolute path of the file system, without wildcards; it need not exist.</summary>
    /// <exception cref="AwqException"><c>PathNotInFileSystem</c>, <c>PathInvalid</c>.</exception>
    internal string ResolveLiteral(string path)
    {
        try
        {
            var resolved = SessionState.Path.GetUnresolvedProviderPathFromPSPath(path, out var provider, out _);
            RequireFileSystem(provider, path);
            return resolved;
        }
        catch (Exception e) when (e is System.Management.Automation.DriveNotFoundException or ProviderNotFoundException or ProviderInvocationException or ArgumentException)
        {
            throw InvalidPath(path, e);
        }
    }

    /// <summary>
    /// Absolute paths that exist and match. A folder whose very name has wildcard characters is taken literally.
    /// </summary>
    /// <exception cref="AwqException"><c>PathNotFound</c>, <c>PathNotInFileSystem</c>, <c>PathInvalid</c>.</exception>
    private protected IReadOnlyList<string> ResolveWildcards(string path)
    {
        if (!WildcardPattern.ContainsWildcardCharacters(path))
            return [ResolveLiteral(path)];
        if (ResolveLiteral(path) is var literal && Path.Exists(literal))
            return [literal];
        try
        {
            var resolved = GetResolvedProviderPathFromPSPath(path, out var provider);
            RequireFileSystem(provider, path);
            if (resolved.Count > 0)
                return [.. resolved.Order(StringComparer.Ordinal)];
        }
        catch (ItemNotFoundException e)
        {
            throw NoMatch(path, e);
        }
        catch (Exception e) when (e is System.Management.Automation.DriveNotFoundException or ProviderNotFoundException or ProviderInvocationException or WildcardPatternException)
        {
            throw InvalidPath(path, e);
        }
        throw NoMatch(path, null);
    }

    /// <summary>A wildcard means the folders that match, whatever files lie beside them; a file that was named stays, to be refused.</summary>
    private IReadOnlyList<string> ResolveFolders(string path)
    {
        var found = ResolveWildcards(path);
        if (found.Count == 1 && !WildcardPattern.ContainsWildcardCharacters(path))
            return found;
        return found.Where(Directory.Exists).ToList() is { Count: > 0 } folders ? folders : throw NoMatch(path, null);
    }

    private static void RequireFileSystem(ProviderInfo provider, string path)
    {
        if (provider.Name != "FileSystem")
        {
            throw new AwqException("PathNotInFileSystem", AwqErrorKind.InvalidArgument,
                $"'{path}' is a path of the provider {provider.Name}.", "Give a path of the file system.");
        }
    }

    private static AwqException NoMatch(string path, Exception? inner) =>
        new("PathNotFound", AwqErrorKind.NotFound, $"Nothing matches '{path}'.", "Check the path, or use -LiteralPath for a name with wildcard characters.", inner);

    private static AwqException InvalidPath(string path, Exception inner) =>
        new("PathInvalid", AwqErrorKind.InvalidArgument, $"'{path}' is no usable path: {inner.Message}", "Check the path.", inner);
}
