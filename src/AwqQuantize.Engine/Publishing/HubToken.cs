namespace AwqQuantize.Engine.Publishing;

/// <summary>Finds the user's token for the Hugging Face Hub where huggingface_hub looks for it.</summary>
public static class HubToken
{
    /// <summary>
    /// <c>HF_TOKEN</c>, <c>HUGGING_FACE_HUB_TOKEN</c>, then the file that <c>hf auth login</c> writes; null where there is none.
    /// </summary>
    public static Secret? Find() => Find(Environment.GetEnvironmentVariable, Environment.GetFolderPath(Environment.SpecialFolder.UserProfile));

    internal static Secret? Find(Func<string, string?> variable, string home)
    {
        foreach (var name in new[] { "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN" })
        {
            if (variable(name) is { } value && value.Trim().Length > 0)
                return new Secret(value);
        }
        var cache = variable("XDG_CACHE_HOME") is { Length: > 0 } xdg ? xdg : Path.Combine(home, ".cache");
        var hub = variable("HF_HOME") is { Length: > 0 } hf ? hf : Path.Combine(cache, "huggingface");
        var file = variable("HF_TOKEN_PATH") is { Length: > 0 } path ? path : Path.Combine(hub, "token");
        try
        {
            return File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } text ? new Secret(text) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Checkpoints.FileErrors.OnRead(e, file);
        }
    }
}
