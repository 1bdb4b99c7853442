using System.Text;
using System.Text.Json;
using AwqQuantize.Engine.Tokenization;

namespace AwqQuantize.Engine.Tests.Tokenization;

public sealed class JsonStringsTests
{
    [Fact]
    public void LoneSurrogatesAreKept() =>
        Assert.Equal(["a\uD800b", "\uDC00\uD83D", "😀", "\"\\/\b\f\n\r\té\u0001", ""],
            JsonStrings.Read("""["a\ud800b", "\uDC00\ud83d", "\ud83d\ude00", "\"\\\/\b\f\n\r\té\u0001", ""]"""u8));

    [Theory]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("[\"a\"")]
    [InlineData("[\"\\u12\"]")]
    [InlineData("[\"a\"] x")]
    public void OtherJsonIsRefused(string json) => Assert.ThrowsAny<JsonException>(() => JsonStrings.Read(Encoding.UTF8.GetBytes(json)));
}
