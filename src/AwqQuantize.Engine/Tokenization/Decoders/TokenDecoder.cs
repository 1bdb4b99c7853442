using System.Text;

namespace AwqQuantize.Engine.Tokenization.Decoders;

/// <summary>A step from tokens back to text; immutable.</summary>
internal abstract class TokenDecoder
{
    public abstract List<string> Decode(List<string> tokens);

    public static string Join(List<string> parts)
    {
        var text = new StringBuilder();
        foreach (string part in parts)
        {
            text.Append(part);
        }

        return text.ToString();
    }
}
