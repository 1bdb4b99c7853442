using System.Net;
using System.Security;

namespace AwqQuantize.Engine.Publishing;

/// <summary>A token or password: it shows as stars wherever it is printed, and goes out only in a request's header.</summary>
public sealed class Secret
{
    private readonly string value;

    /// <exception cref="AwqException"><c>SecretInvalid</c>: it is empty or holds characters that no header may hold.</exception>
    public Secret(string value)
    {
        this.value = value.Trim();
        if (this.value.Length == 0 || this.value.Any(c => char.IsControl(c) || char.IsWhiteSpace(c) || c > 126))
        {
            throw new AwqException("SecretInvalid", AwqErrorKind.InvalidArgument,
                "The token or password is empty, or holds spaces or characters that cannot be sent.", "Copy it again, without quotes.");
        }
    }

    /// <inheritdoc cref="Secret(string)"/>
    public static Secret From(SecureString text) => new(new NetworkCredential("", text).Password);

    public override string ToString() => "***";

    internal string Reveal() => value;

    /// <summary>The text without this secret, for messages that quote a server.</summary>
    internal string RemoveFrom(string text) => text.Replace(value, "***", StringComparison.Ordinal);
}
