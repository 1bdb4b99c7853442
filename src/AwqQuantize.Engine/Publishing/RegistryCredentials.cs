using System.ComponentModel;
using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using AwqQuantize.Engine.Checkpoints;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A user's name and password for a registry, or an identity token in place of both.</summary>
/// <param name="User">Empty where <paramref name="Password"/> is an identity token.</param>
public sealed record RegistryCredentials(string User, Secret Password)
{
    private static readonly TimeSpan HelperLimit = TimeSpan.FromSeconds(30);

    /// <summary>
    /// What <c>docker login</c> or <c>podman login</c> left for a host: Docker's config.json (<c>DOCKER_CONFIG</c>) with its
    /// credential helpers, then podman's auth.json. Null where there is nothing: the registry is asked without credentials.
    /// </summary>
    /// <exception cref="AwqException">A file is malformed, or a helper fails.</exception>
    public static RegistryCredentials? Find(string host) =>
        Find(host, Environment.GetEnvironmentVariable, Environment.GetFolderPath(Environment.SpecialFolder.UserProfile));

    internal static RegistryCredentials? Find(string host, Func<string, string?> variable, string home)
    {
        var docker = Path.Combine(variable("DOCKER_CONFIG") is { Length: > 0 } chosen ? chosen : Path.Combine(home, ".docker"), "config.json");
        var files = new List<string> { docker };
        if (variable("REGISTRY_AUTH_FILE") is { Length: > 0 } file)
            files.Insert(0, file);
        if (variable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime)
            files.Add(Path.Combine(runtime, "containers", "auth.json"));
        return files.Where(File.Exists).Select(f => FromFile(f, host)).FirstOrDefault(c => c is not null);
    }

    private static RegistryCredentials? FromFile(string path, string host)
    {
        var config = PythonJson.ReadObject(path);
        foreach (var key in Keys(host))
        {
            if (config["credHelpers"] is JsonObject helpers && helpers[key] is JsonValue helper && FromHelper(helper.ToString(), key) is { } helped)
                return helped;
        }
        if (config["auths"] is JsonObject auths)
        {
            foreach (var key in Keys(host))
            {
                if (auths[key] is JsonObject entry && FromEntry(entry, path) is { } found)
                    return found;
            }
        }
        return config["credsStore"] is JsonValue store
            ? Keys(host).Select(key => FromHelper(store.ToString(), key)).FirstOrDefault(c => c is not null) : null;
    }

    /// <summary>The names under which a host is kept; Docker Hub's is historical.</summary>
    private static string[] Keys(string host) =>
        host == "docker.io" ? ["https://index.docker.io/v1/", "docker.io"] : [host, "https://" + host, $"https://{host}/v2/"];

    private static RegistryCredentials? FromEntry(JsonObject entry, string path)
    {
        if (entry["identitytoken"] is JsonValue token && token.ToString().Length > 0)
            return new RegistryCredentials("", new Secret(token.ToString()));
        if (entry["auth"] is not JsonValue auth || auth.ToString().Length == 0)
            return null;
        try
        {
            var text = Encoding.UTF8.GetString(Convert.FromBase64String(auth.ToString())).TrimEnd('\0');
            var colon = text.IndexOf(':');
            return colon < 0 ? throw new FormatException() : new RegistryCredentials(text[..colon], new Secret(text[(colon + 1)..]));
        }
        catch (FormatException)
        {
            // The value itself, and the exception that quotes it, stay out of the message.
            throw new AwqException("RegistryCredentialsInvalid", AwqErrorKind.InvalidData, $"An entry of 'auths' in '{path}' is malformed.", "Log in to the registry again.");
        }
    }

    private static RegistryCredentials? FromHelper(string helper, string key)
    {
        var program = "docker-credential-" + helper;
        if (helper.Length == 0 || helper.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_' or '.')))
            throw HelperFailed(program, "its name is not a plain one", null);
        string output;
        try
        {
            // The host goes in, the secret comes out, both through pipes: nothing of it is an argument.
            using var process = Process.Start(new ProcessStartInfo(program, ["get"])
            {
                RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false,
            })!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            process.StandardInput.Write(key);
            process.StandardInput.Close();
            var reading = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(HelperLimit))
            {
                process.Kill(entireProcessTree: true);
                throw HelperFailed(program, "it did not answer in time", null);
            }
            output = reading.GetAwaiter().GetResult();
            // Helpers end so where they know nothing about the host.
            if (process.ExitCode != 0)
                return null;
        }
        catch (Exception e) when (e is Win32Exception or IOException)
        {
            throw HelperFailed(program, "it cannot be started", e);
        }
        ParseAnswer(output, out var user, out var secret);
        if (secret is null)
            throw HelperFailed(program, "its answer is malformed", null);
        return secret.Length == 0 ? null : new RegistryCredentials(user is null or "<token>" ? "" : user, new Secret(secret));
    }

    private static void ParseAnswer(string output, out string? user, out string? secret)
    {
        try
        {
            var json = JsonNode.Parse(output) as JsonObject;
            user = json?["Username"]?.ToString();
            secret = json?["Secret"]?.ToString();
        }
        catch (System.Text.Json.JsonException)
        {
            user = secret = null;
        }
    }

    private static AwqException HelperFailed(string program, string what, Exception? inner) =>
        new("RegistryHelperFailed", AwqErrorKind.ResourceUnavailable, $"The credential helper '{program}' failed: {what}.",
            "Repair it, or log in to the registry without it.", inner);
}
