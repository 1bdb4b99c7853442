using System.Diagnostics;
using AwqQuantize.Tests.Pwsh;

namespace AwqQuantize.Tests.Fleet;

/// <summary>The scripts of tests/fleet: image, registry, Slurm and Kubernetes for real, where this machine has what they need.</summary>
public sealed class FleetTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(30);

    // Beside the build: a container engine's storage is large, and is not at home on a small /tmp.
    private readonly string work = Path.Combine(StagedModule.Repository, "artifacts", "fleet", Guid.NewGuid().ToString("N"));

    public FleetTests() => Directory.CreateDirectory(work);

    public void Dispose()
    {
        // Storage of containers holds what only its own tools delete without complaint.
        using var remove = Process.Start("rm", ["-rf", "--one-file-system", work]);
        remove.WaitForExit();
    }

    [Theory]
    [InlineData("docker")]
    [InlineData("buildah")]
    [InlineData("podman")]
    public void TheImageQuantisesStopsAndResumes(string engine)
    {
        RequireEngine(engine);
        Run("container.sh", work, engine);
    }

    [Theory]
    [InlineData("docker")]
    [InlineData("buildah")]
    public void BuildAndPushAgainstARealRegistry(string engine)
    {
        RequireEngine(engine);
        Require(Environment.IsPrivilegedProcess && Has("debootstrap") && Has("docker-registry"), "it needs root, debootstrap and docker-registry");
        Run("push.sh", work, engine);
    }

    [Fact]
    public void AnArrayJobOnSlurm()
    {
        Require(Environment.IsPrivilegedProcess && Has("slurmctld") && Has("slurmd") && Has("munged"), "it needs root and Debian's slurm-wlm and munge");
        Run("slurm.sh", work);
    }

    [Fact]
    public void TheJobForKubernetesFitsThePublishedSchema()
    {
        Require(Has("node") && Directory.Exists(Script("node_modules")), "it needs node, and npm install --no-package-lock in tests/fleet");
        Run("kubernetes.mjs");
    }

    private static void RequireEngine(string engine) => Require(Works(engine), engine switch
    {
        "buildah" => "buildah needs root, and debootstrap for an image to build on",
        "docker" => "no docker engine answers",
        _ => "podman is tried where there is no other engine, for it may say that it works where no container starts",
    });

    private static bool Works(string engine) => engine switch
    {
        "buildah" => Environment.IsPrivilegedProcess && Has("buildah") && Has("debootstrap"),
        "docker" => Answers("docker", "info"),
        _ => !Works("docker") && !Works("buildah") && Answers("podman", "info"),
    };

    private static bool Answers(string program, string argument)
    {
        if (!Has(program))
            return false;
        using var process = Process.Start(new ProcessStartInfo(program, argument) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private static bool Has(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append("/usr/sbin").Any(folder => File.Exists(Path.Combine(folder, program)));

    private static void Require(bool condition, string reason)
    {
        if (!OperatingSystem.IsLinux() || !condition)
            Assert.Skip($"Not run: {reason}.");
    }

    private static string Script(string name) => Path.Combine(StagedModule.Repository, "tests", "fleet", name);

    private static void Run(string script, params string[] arguments)
    {
        var start = new ProcessStartInfo(script.EndsWith(".mjs", StringComparison.Ordinal) ? "node" : "bash", [Script(script), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Script(""),
        };
        // What dotnet test has just built is what goes into the image.
        start.Environment["AWQ_BUILT"] = "1";
        start.Environment["AWQ_SHELL"] = $"dotnet {PwshProcess.Assembly}";
        start.Environment["PATH"] += Path.PathSeparator + "/usr/sbin";
        using var process = Process.Start(start)!;
        using var limit = new Timer(_ => process.Kill(entireProcessTree: true), null, Limit, Timeout.InfiniteTimeSpan);
        var run = ProcessResult.Of(process);
        Assert.True(run.ExitCode == 0, $"{script} ended with {run.ExitCode}.\n{Tail(run.Output)}\n{Tail(run.Error)}");
    }

    private static string Tail(string text) => text.Length <= 6000 ? text : "…" + text[^6000..];
}
