using System.Text;

namespace AwqQuantize.Engine.Tokenization.Decoders;

/// <summary>Reads GPT-2's byte alphabet; a token with any other character stands for its own UTF-8.</summary>
internal sealed class ByteLevelDecoder : TokenDecoder
{
    public override List<string> Decode(List<string> tokens)
    {
        var bytes = new List<byte>();
        foreach (string token in tokens)
        {
            int first = bytes.Count;
            foreach (char c in token)
            {
                int value = ByteAlphabet.ToByte(c);
                if (value < 0)
                {
                    bytes.RemoveRange(first, bytes.Count - first);
                    bytes.AddRange(Encoding.UTF8.GetBytes(token));
                    break;
                }

                bytes.Add((byte)value);
            }
        }

        return [Encoding.UTF8.GetString([.. bytes])];
    }
}
