using System.Diagnostics;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Engine.Tests.Runs;

public sealed class RunLockTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    private readonly TemporaryFolder temporary = new();

    private string Folder => temporary.File("model.awq-run");

    private string OwnerFile => Path.Combine(Folder, "owner.json");

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void ASecondRunIsToldWhoHasIt()
    {
        using var first = RunLock.Acquire(Folder);
        var error = Assert.Throws<AwqException>(() => RunLock.Acquire(Folder));
        Assert.Equal("RunLocked", error.Id);
        Assert.Contains($"process {Environment.ProcessId} on '{Environment.MachineName}'", error.Message);
        first.Verify();
    }

    [Fact]
    public void OneAtATimeHasIt()
    {
        var (holders, acquired, refused) = (0, 0, 0);
        Parallel.For(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            try
            {
                using var held = RunLock.Acquire(Folder);
                Assert.Equal(1, Interlocked.Increment(ref holders));
                held.Verify();
                Interlocked.Decrement(ref holders);
                if (++acquired % 3 == 0)
                    held.Remove(temporary.File("finished.awq-run"));
            }
            catch (AwqException e) when (e.Id == "RunLocked")
            {
                Interlocked.Increment(ref refused);
            }
        });
        Assert.Equal(400, acquired + refused);
        Assert.InRange(acquired, 1, 400);
    }

    /// <summary>Run folders may lie on another disk.</summary>
    [Fact]
    public void AFolderThatIsALinkIsLockedLikeAnyOther()
    {
        Directory.CreateDirectory(temporary.File("elsewhere"));
        Directory.CreateSymbolicLink(Folder, temporary.File("elsewhere"));
        using var first = RunLock.Acquire(Folder);
        first.Verify();
        Assert.Equal("RunLocked", Assert.Throws<AwqException>(() => RunLock.Acquire(temporary.File("elsewhere"))).Id);
    }

    [Fact]
    public void ARecordThatADeadRunOfThisMachineLeftHoldsNobodyUp()
    {
        LeaveRecord("this");
        var clock = Stopwatch.StartNew();
        using var next = RunLock.Acquire(Folder, patience: TimeSpan.FromMinutes(1), machine: "this");
        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 30);
    }

    [Fact]
    public void ARunThatEndedInOrderHoldsNoOtherMachineUp()
    {
        RunLock.Acquire(Folder, machine: "other").Dispose();
        using var next = RunLock.Acquire(Folder, patience: TimeSpan.FromHours(1), machine: "this");
        next.Verify();
    }

    [Fact]
    public void ARunOfAnotherMachineThatShowsNoSignOfLifeIsDead()
    {
        LeaveRecord("other");
        var clock = Stopwatch.StartNew();
        using var next = RunLock.Acquire(Folder, patience: Patience, machine: "this");
        Assert.True(clock.Elapsed >= Patience * 0.9);
        next.Verify();
    }

    [Fact]
    public void ARunOfAnotherMachineThatLivesIsRespectedWithoutAKernelLock()
    {
        LeaveRecord("other");
        using var stop = new CancellationTokenSource();
        var living = new Thread(() =>
        {
            for (var beat = 1; !stop.IsCancellationRequested; beat++)
            {
                var record = File.ReadAllText(OwnerFile);
                File.WriteAllText(OwnerFile + ".new", System.Text.RegularExpressions.Regex.Replace(record, "\"Beats\":\\d+", $"\"Beats\":{beat}"));
                File.Move(OwnerFile + ".new", OwnerFile, overwrite: true);
                Thread.Sleep(20);
            }
        });
        living.Start();
        var error = Assert.Throws<AwqException>(() => RunLock.Acquire(Folder, patience: TimeSpan.FromMinutes(1), machine: "this"));
        Assert.Equal("RunLocked", error.Id);
        stop.Cancel();
        living.Join();
        // The attempt left the other's record alone.
        Assert.Contains("\"other\"", File.ReadAllText(OwnerFile));
    }

    /// <summary>A run of another machine that ends while its record is looked at takes the folder with it.</summary>
    [Fact]
    public void AFolderThatGoesMeanwhileIsMadeAnew()
    {
        LeaveRecord("other");
        using var gone = new Timer(_ => Directory.Move(Folder, temporary.File("finished")), null, Patience / 4, Timeout.InfiniteTimeSpan);
        using var next = RunLock.Acquire(Folder, patience: Patience, machine: "this");
        next.Verify();
        Assert.True(Directory.Exists(temporary.File("finished")));
        Assert.Equal("RunLocked", Assert.Throws<AwqException>(() => RunLock.Acquire(Folder)).Id);
    }

    [Fact]
    public void ARunThatWasTakenForDeadCommitsNothingMore()
    {
        using var first = RunLock.Acquire(Folder, machine: "other");
        // A file system that keeps locks to one machine: the second sees a lock of its own.
        File.Move(Path.Combine(Folder, "lock"), Path.Combine(Folder, "lock of the other"));
        using var second = RunLock.Acquire(Folder, patience: Patience, machine: "this");
        second.Verify();
        Assert.Equal("RunLocked", Assert.Throws<AwqException>(first.Verify).Id);
        first.Dispose();
        second.Verify();
    }

    [Fact]
    public void TheWaitForASignOfLifeCanBeCancelled()
    {
        LeaveRecord("other");
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        Assert.ThrowsAny<OperationCanceledException>(() => RunLock.Acquire(Folder, cancel.Token, TimeSpan.FromHours(1), "this"));
        using var next = RunLock.Acquire(Folder, patience: Patience, machine: "this");
    }

    /// <summary>As a process leaves it that is killed: the kernel's lock is gone, the record is not.</summary>
    private void LeaveRecord(string machine)
    {
        byte[] record;
        using (RunLock.Acquire(Folder, machine: machine))
            record = File.ReadAllBytes(OwnerFile);
        File.WriteAllBytes(OwnerFile, record);
    }
}
