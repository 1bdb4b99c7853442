using System.Diagnostics;
using System.Reflection;
using TorchSharp;
using static TorchSharp.torch;

namespace AwqQuantize.Engine.Tests.Compute;

/// <summary>TorchSharp gives native code the handles of scalars that nothing keeps alive; the build patches that (KeepArgumentsAlive).</summary>
public sealed class ScalarLifetimeTests
{
    [Fact]
    public void TheAssemblyIsThePatchedOne() =>
        Assert.True(typeof(torch).Assembly.GetCustomAttribute<DebuggableAttribute>()!.IsJITOptimizerDisabled);

    /// <summary>Without the patch this ends in a wrong sum or an "Unknown scalar type" within a second or two.</summary>
    [Fact]
    public void GarbageCollectionsDoNotFreeScalarsThatAreInUse()
    {
        using var done = new CancellationTokenSource();
        var collector = new Thread(() =>
        {
            while (!done.IsCancellationRequested)
            {
                GC.Collect(0);
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        using var sum = zeros(1, ScalarType.Float64);
        const int Count = 100_000;
        for (var i = 0; i < Count; i++)
            sum.add_(1.0);
        done.Cancel();
        collector.Join();
        Assert.Equal(Count, sum.item<double>());
    }
}
