using System.Diagnostics;
using System.Text.Json;

namespace AwqQuantize.Engine.Runs;

/// <summary>
/// Keeps two runs out of one run folder. The kernel locks a file, and frees it when the process is gone, however it went. Where
/// a network file system keeps such locks to one machine, a record beside it tells: it names its run, and changes every few
/// seconds while that lives.
/// </summary>
internal sealed class RunLock : IDisposable
{
    public const string LockFile = "lock";
    public const string OwnerFile = "owner.json";

    private const int RecordSize = 512;
    private const int Looks = 10;
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(5);

    // NFS keeps what it knows of a folder for up to a minute (acdirmax), sshfs for 20 seconds: in waits for a sign of life.
    private const int Staleness = 4;

    private readonly string folder;
    private readonly string machine;
    private readonly FileStream file;
    private readonly Guid token = Guid.NewGuid();
    private readonly Lock gate = new();
    private Timer? timer;
    private long beats;

    private RunLock(string folder, string machine, FileStream file) => (this.folder, this.machine, this.file) = (folder, machine, file);

    /// <param name="folder">The run folder; it is created.</param>
    /// <param name="cancel">Ends the wait for a sign of life.</param>
    /// <param name="patience">For how long a record of another machine must not change to be a dead run's; default three beats.</param>
    /// <param name="machine">Identity of this machine since it was started; tests play another one.</param>
    /// <exception cref="AwqException"><c>RunLocked</c>: another run has it. <c>DestinationNotWritable</c>.</exception>
    public static RunLock Acquire(string folder, CancellationToken cancel = default, TimeSpan? patience = null, string? machine = null)
    {
        machine ??= Machine;
        var wait = patience ?? 3 * Beat;
        var (clock, stranger) = (Stopwatch.StartNew(), false);
        while (true)
        {
            RunLock? taken = null;
            try
            {
                taken = new RunLock(folder, machine, Open(folder));
                if (taken.IsInPlace())
                {
                    stranger |= AwaitStranger(folder, machine, wait, cancel);
                    taken.Write();
                    taken.timer = new Timer(_ => taken.BeatOnce(), null, Beat, Beat);
                    return taken;
                }
                taken.Dispose();
            }
            catch (IOException e) when (e is DirectoryNotFoundException or FileNotFoundException)
            {
                // Its run was just finished, and the folder deleted: there may be a next one. If it was another machine's, a network
                // file system may go on to show its files for a while.
                taken?.Dispose();
                if (clock.Elapsed > (Staleness + 2) * wait)
                    throw NotWritable(folder, e);
                if (cancel.WaitHandle.WaitOne(stranger ? Staleness * wait : wait / 150))
                    cancel.ThrowIfCancellationRequested();
                stranger = false;
            }
            catch
            {
                taken?.Dispose();
                throw;
            }
        }
    }

    /// <summary>Asked before anything is committed.</summary>
    /// <exception cref="AwqException"><c>RunLocked</c>: a run on another machine took this one for dead.</exception>
    public void Verify()
    {
        lock (gate)
        {
            if (Read(folder) is { } owner && owner.Token != token)
                throw Locked(folder, owner);
        }
    }

    /// <summary>Deletes the folder and frees the lock.</summary>
    /// <param name="aside">What the folder is called in the meantime: nobody finds it half deleted, or makes files in it.</param>
    public void Remove(string aside)
    {
        Rest();
        // Windows moves no folder with an open file.
        if (OperatingSystem.IsWindows())
            file.Dispose();
        if (Directory.Exists(aside))
            Directory.Delete(aside, recursive: true);
        Directory.Move(folder, aside);
        file.Dispose();
        Directory.Delete(aside, recursive: true);
    }

    public void Dispose()
    {
        Rest();
        lock (gate)
        {
            // Another machine need not wait for signs of life of a run that ended in order.
            if (!file.SafeFileHandle.IsClosed && Read(folder)?.Token == token)
                File.Delete(Path.Combine(folder, OwnerFile));
            file.Dispose();
        }
    }

    /// <summary>Whether the locked file is the one that others find: its folder may have been moved away between opening and locking.</summary>
    private bool IsInPlace()
    {
        // Windows moves no folder with an open file. Linux tells the path of an open file as it is now.
        return !OperatingSystem.IsLinux() || new FileInfo($"/proc/self/fd/{file.SafeFileHandle.DangerousGetHandle()}").LinkTarget is not { } now
            || Path.GetFileName(Path.GetDirectoryName(now)) == Path.GetFileName(Directory.ResolveLinkTarget(folder, returnFinalTarget: true)?.FullName ?? folder);
    }

    /// <summary>No more signs of life.</summary>
    private void Rest()
    {
        lock (gate)
        {
            timer?.Dispose();
            timer = null;
        }
    }

    /// <summary>The same for all containers of a machine, and another one after each of its starts.</summary>
    private static string Machine
    {
        get
        {
            const string boot = "/proc/sys/kernel/random/boot_id";
            return File.Exists(boot) ? File.ReadAllText(boot).Trim() : Environment.MachineName;
        }
    }

    private static FileStream Open(string folder)
    {
        var path = Path.Combine(folder, LockFile);
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NotWritable(folder, e);
        }
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (UnauthorizedAccessException e)
        {
            throw NotWritable(folder, e);
        }
        catch (IOException e) when (e is DirectoryNotFoundException or FileNotFoundException)
        {
            throw;
        }
        // By what the system says (EWOULDBLOCK, ERROR_SHARING_VIOLATION): its holder may take the file away in the meantime.
        catch (IOException e) when (e.HResult is 11 or unchecked((int)0x80070020) || File.Exists(path))
        {
            throw Locked(folder, Read(folder));
        }
        catch (IOException e)
        {
            throw NotWritable(folder, e);
        }
    }

    /// <summary>A record of this machine is a dead run's, for we have the lock. One of another machine lives if it changes.</summary>
    /// <returns>Whether there was one of another machine.</returns>
    private static bool AwaitStranger(string folder, string machine, TimeSpan patience, CancellationToken cancel)
    {
        var before = Read(folder);
        if (before is null || before.Machine == machine)
            return false;
        for (var look = 0; look < Looks; look++)
        {
            if (cancel.WaitHandle.WaitOne(patience / Looks))
                cancel.ThrowIfCancellationRequested();
            // Opened each time: that is when network file systems ask the server.
            if (Read(folder) is { } now && now != before)
                throw Locked(folder, now);
        }
        return true;
    }

    private void BeatOnce()
    {
        lock (gate)
        {
            try
            {
                if (timer is not null && Read(folder)?.Token == token)
                    Write();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A file server that is away for a moment: the next beat, or the check before a commit, will tell.
            }
        }
    }

    private void Write()
    {
        // One write of one length, so that nobody reads the half of it.
        var record = new byte[RecordSize];
        Array.Fill(record, (byte)' ');
        JsonSerializer.SerializeToUtf8Bytes(new Owner(machine, Environment.MachineName, Environment.ProcessId, token, beats++)).CopyTo(record, 0);
        using var owner = new FileStream(Path.Combine(folder, OwnerFile), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        owner.Write(record);
        owner.Flush(flushToDisk: true);
    }

    private static Owner? Read(string folder)
    {
        try
        {
            using var owner = new FileStream(Path.Combine(folder, OwnerFile), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            return JsonSerializer.Deserialize<Owner>(owner);
        }
        // None yet, or one that cannot be read: nobody who could be named.
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private static AwqException Locked(string folder, Owner? by) => new("RunLocked", AwqErrorKind.ResourceUnavailable,
        $"Another run works in '{folder}'{(by is null ? "" : $": process {by.Process} on '{by.Host}'")}.",
        "Wait for it, or end it; the lock goes with the process that holds it.");

    private static AwqException NotWritable(string path, Exception e) => new("DestinationNotWritable", AwqErrorKind.PermissionDenied,
        $"'{path}' cannot be created or written: {e.Message}", "Choose another destination with -OutputPath, or change its permissions.", e);

    private sealed record Owner(string Machine, string Host, int Process, Guid Token, long Beats);
}
